# Who may do what. Every grant adds to what is there; none replaces a policy as a whole.

resource "google_service_account" "function" {
  for_each = local.accounts

  project      = var.project
  account_id   = "cw-${replace(each.key, "_", "-")}"
  display_name = "Cost Watchdog: ${each.key}"

  depends_on = [google_project_service.own]
}

resource "google_service_account" "push" {
  project      = var.project
  account_id   = "cw-push"
  display_name = "Cost Watchdog: Pub/Sub calls the functions as this"

  depends_on = [google_project_service.own]
}

resource "google_service_account" "build" {
  project      = var.project
  account_id   = "cw-build"
  display_name = "Cost Watchdog: builds the functions"

  depends_on = [google_project_service.own]
}

locals {
  accounts = toset(["budget_alert", "storage_event", "task", "slack_action", "audit"])
  actors   = toset(["budget_alert", "task"])
  readers  = toset(var.audit_by_task ? ["audit", "task"] : ["audit"])

  acting      = { for pair in setproduct(local.actors, local.projects) : "${pair[0]}/${pair[1]}" => { function = pair[0], project = pair[1] } if length(local.on_resources) > 0 }
  acting_as   = { for trio in flatten([for project, emails in var.act_as : [for email in emails : [for function in local.actors : { function = function, project = project, email = email }]]]) : "${trio.function}/${trio.email}" => trio if length(local.on_resources) > 0 }
  read_places = { for trio in setproduct(local.readers, setunion([var.project], local.projects), local.permissions.audit_roles) : join("/", trio) => { function = trio[0], project = trio[1], role = trio[2] } }
}

# What it may change

resource "google_project_iam_member" "acts" {
  for_each = local.acting

  project = each.value.project
  role    = google_project_iam_custom_role.acts[each.value.project].id
  member  = google_service_account.function[each.value.function].member
}

# Whoever updates a service has to be allowed to act as its identity, also where nothing but the scaling changes.
resource "google_service_account_iam_member" "acts_as" {
  for_each = local.acting_as

  service_account_id = "projects/${each.value.project}/serviceAccounts/${each.value.email}"
  role               = "roles/iam.serviceAccountUser"
  member             = google_service_account.function[each.value.function].member
}

# Objects are deleted, compressed and brought back by the tick; what budget_alert decides on them, it leaves to that.
resource "google_storage_bucket_iam_member" "objects" {
  for_each = local.on_objects

  bucket = each.key
  role   = google_project_iam_custom_role.objects[local.home[each.key]].id
  member = google_service_account.function["task"].member
}

# What it may read

resource "google_storage_bucket_iam_member" "status" {
  for_each = local.runs_in

  bucket = each.key
  role   = google_project_iam_custom_role.reads[local.home[each.key]].id
  member = google_service_account.function["storage_event"].member
}

resource "google_storage_bucket_iam_member" "policy" {
  for_each = setsubtract(local.accounts, ["slack_action"])

  bucket = google_storage_bucket.config.name
  role   = google_project_iam_custom_role.reads[var.project].id
  member = google_service_account.function[each.key].member
}

resource "google_project_iam_member" "reads" {
  for_each = local.read_places

  project = each.value.project
  role    = each.value.role
  member  = google_service_account.function[each.value.function].member
}

resource "google_billing_account_iam_member" "reads" {
  for_each = local.readers

  billing_account_id = var.billing_account
  role               = local.permissions.audit_billing_role
  member             = google_service_account.function[each.key].member
}

resource "google_storage_bucket_iam_member" "audit" {
  bucket = google_storage_bucket.state.name
  role   = local.permissions.audit_journal_role
  member = google_service_account.function["audit"].member
}

# The journal

resource "google_storage_bucket_iam_member" "journal" {
  for_each = setunion(local.actors, ["storage_event"])

  bucket = google_storage_bucket.state.name
  role   = google_project_iam_custom_role.journal.id
  member = google_service_account.function[each.key].member
}

# The one function that anybody can reach can do nothing but add a request.
resource "google_storage_bucket_iam_member" "requests" {
  bucket = google_storage_bucket.state.name
  role   = google_project_iam_custom_role.requests.id
  member = google_service_account.function["slack_action"].member

  condition {
    title      = "requests"
    expression = "resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.state.name}/objects/requests/\")"
  }
}

# Who may call the functions

resource "google_cloud_run_v2_service_iam_member" "push" {
  for_each = local.pushed

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.all[each.key].name
  role     = "roles/run.invoker"
  member   = google_service_account.push.member
}

# Slack has no identity at Google. The function answers 401 to whoever has not signed with its secret, and everything else is behind that.
resource "google_cloud_run_v2_service_iam_member" "slack" {
  count = var.slack == "app" ? 1 : 0

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.all["slack_action"].name
  role     = "roles/run.invoker"
  member   = "allUsers"
}

resource "google_cloud_run_v2_service_iam_member" "auditors" {
  for_each = var.auditors

  project  = var.project
  location = var.region
  name     = google_cloudfunctions2_function.all["audit"].name
  role     = "roles/run.invoker"
  member   = each.key
}

# Projects from before April 2021 do not let Pub/Sub make tokens by themselves; in newer ones this adds nothing.
resource "google_service_account_iam_member" "push" {
  service_account_id = google_service_account.push.name
  role               = "roles/iam.serviceAccountOpenIdTokenCreator"
  member             = local.agent

  depends_on = [google_pubsub_topic.pushed]
}

# Who builds them

resource "google_project_iam_member" "build_logs" {
  project = var.project
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# Cloud Functions copies the archive to a bucket of its own, whose name begins so, and builds from there.
resource "google_project_iam_member" "build_source" {
  project = var.project
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title      = "sources"
    expression = "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-\") || resource.name.startsWith(\"projects/_/buckets/${google_storage_bucket.config.name}\")"
  }
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}
