# Needed

variable "project" {
  description = "The watchdog's own project, by its id."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{4,28}[a-z0-9]$", var.project))
    error_message = "Write the project's id, such as acme-ml-watchdog, not its name or its number."
  }
}

variable "region" {
  description = "Where the functions, the clock and the buckets are, such as us-central1."
  type        = string
}

variable "billing_account" {
  description = "The billing account whose budgets are watched, such as 01D4EE-079462-DFD6EC."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-F]{6}(-[0-9A-F]{6}){2}$", var.billing_account))
    error_message = "Write the billing account's id alone, such as 01D4EE-079462-DFD6EC."
  }
}

variable "policy" {
  description = "The path of the policy, such as ../policy.yaml. `python -m functions policy check PATH` says all that is wrong with it."
  type        = string

  validation {
    condition     = can(yamldecode(file(var.policy)).version)
    error_message = "There is no policy at this path, or it is not YAML with a version in it."
  }
}

variable "budgets" {
  description = <<-EOT
    The budgets to make, by the name that the policy has for each. Their thresholds are the steps of the policy.
    A budget of the policy that is not here is taken to be there already; connect it to the topic by hand (output `budgets_to_connect`).
    amount: a whole number. currency: the billing account's where absent. projects: whose spend counts; the watched ones where absent.
  EOT
  type = map(object({
    amount   = number
    currency = optional(string)
    projects = optional(set(string))
  }))

  validation {
    condition     = alltrue([for budget in var.budgets : budget.amount > 0 && budget.amount == floor(budget.amount)])
    error_message = "Each amount has to be a whole number above 0."
  }
}

# May be set

variable "watched" {
  description = <<-EOT
    Other projects that the watchdog may change things in, each with those of its buckets that the policy names.
    A project that stands in the policy and not here is refused: the policy alone shall not give rights elsewhere.
  EOT
  type        = map(set(string))
  default     = {}
}

variable "act_as" {
  description = <<-EOT
    By project, the e-mail addresses of the service accounts that the services and worker pools run as which the policy may change.
    Cloud Run lets nobody update a service who may not act as its identity. Whoever may has that identity's rights as well, so name no more than are needed.
  EOT
  type        = map(set(string))
  default     = {}

  validation {
    condition     = alltrue([for email in flatten([for emails in values(var.act_as) : tolist(emails)]) : can(regex("^[^@: ]+@[^@ ]+\\.gserviceaccount\\.com$", email))])
    error_message = "Write each service account as its e-mail address alone, such as ranker@acme-ml-staging.iam.gserviceaccount.com."
  }
}

variable "mode" {
  description = "observe: only say what would be done. enforce: do it. policy: as the policy says."
  type        = string
  default     = "observe"

  validation {
    condition     = contains(["observe", "enforce", "policy"], var.mode)
    error_message = "Write observe, enforce or policy."
  }
}

variable "slack" {
  description = "off: messages go to the log. app: buttons and threads. webhook: plain messages. The secrets need a version before anything but off is applied."
  type        = string
  default     = "off"

  validation {
    condition     = contains(["off", "app", "webhook"], var.slack)
    error_message = "Write off, app or webhook."
  }
}

variable "alert_emails" {
  description = "Who is written to when the watchdog itself is in trouble; nobody where empty, and then the alerts show in Cloud Monitoring alone. Five at most."
  type        = set(string)
  default     = []

  validation {
    condition     = length(var.alert_emails) <= 5
    error_message = "A budget takes at most five."
  }
}

variable "auditors" {
  description = "Who may ask the function audit, such as group:platform@example.com. Nobody where empty."
  type        = set(string)
  default     = []

  validation {
    condition     = alltrue([for member in var.auditors : can(regex("^(user|group|serviceAccount|domain):", member))])
    error_message = "Write user:, group:, serviceAccount: or domain: before each, and neither allUsers nor allAuthenticatedUsers."
  }
}

variable "audit_by_task" {
  description = "Whether the function task may see what the audit sees too: for the whole weekly digest, and for /cost-watchdog audit."
  type        = bool
  default     = true
}

variable "tick" {
  description = "How often the watchdog looks at what is due, as cron. Every minute is best."
  type        = string
  default     = "* * * * *"
}

variable "digest" {
  description = "When the week's digest is sent, as cron, UTC."
  type        = string
  default     = "0 8 * * 1"
}

variable "keep_closed" {
  description = "Days for which the journal keeps what is done. At least as long as any bucket's soft-delete window, for what is older cannot be undone."
  type        = number
  default     = 180

  validation {
    condition     = var.keep_closed >= 90
    error_message = "Soft delete keeps objects for up to 90 days, and what they are put back from has to last as long."
  }
}

variable "unusual_changes" {
  description = "More changes of services and worker pools than this within an hour are an alert."
  type        = number
  default     = 50
}

variable "role_suffix" {
  description = "What the ids of the custom roles end with. Google keeps the id of a deleted role for 37 days; another suffix gets round that."
  type        = string
  default     = ""

  validation {
    condition     = can(regex("^[A-Za-z0-9]{0,20}$", var.role_suffix))
    error_message = "Write letters and digits alone, 20 at most."
  }
}
