# Custom roles of exactly the permissions that what the policy enables declares (permissions.json, which a test holds against the code).
# A role of a project can be given in that project alone, so there is one for each.

resource "google_project_iam_custom_role" "acts" {
  for_each = length(local.on_resources) > 0 ? local.projects : []

  project     = each.key
  role_id     = "costWatchdog${var.role_suffix}"
  title       = "Cost Watchdog"
  description = "What the policy's actions need on services, worker pools and buckets"
  permissions = local.on_resources
}

resource "google_project_iam_custom_role" "objects" {
  for_each = toset(values(local.home))

  project     = each.key
  role_id     = "costWatchdogObjects${var.role_suffix}"
  title       = "Cost Watchdog: objects"
  description = "What the policy's rules about artifacts and its actions on objects need, given on single buckets"
  permissions = sort(distinct(flatten([for bucket, permissions in local.on_objects : permissions if local.home[bucket] == each.key])))
}

resource "google_project_iam_custom_role" "reads" {
  for_each = setunion([var.project], [for bucket in local.runs_in : local.home[bucket]])

  project     = each.key
  role_id     = "costWatchdogReads${var.role_suffix}"
  title       = "Cost Watchdog: reads an object"
  description = "The policy, and the status file of a run; given on single buckets"
  permissions = local.permissions.read_object
}

resource "google_project_iam_custom_role" "journal" {
  project     = var.project
  role_id     = "costWatchdogJournal${var.role_suffix}"
  title       = "Cost Watchdog: the journal"
  description = "Given on the state bucket"
  permissions = local.permissions.journal
}

resource "google_project_iam_custom_role" "requests" {
  project     = var.project
  role_id     = "costWatchdogRequests${var.role_suffix}"
  title       = "Cost Watchdog: requests"
  description = "Records what somebody asked for in Slack; given on that folder of the state bucket"
  permissions = local.permissions.record_request
}
