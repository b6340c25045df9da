# The secrets, without their values, which would stand in the state of Terraform:
#   printf %s "xoxb-..." | gcloud secrets versions add cost-watchdog-slack-bot-token --data-file=-

resource "google_secret_manager_secret" "slack" {
  for_each = toset(["SLACK_BOT_TOKEN", "SLACK_SIGNING_SECRET", "SLACK_WEBHOOK_URL"])

  project   = var.project
  secret_id = "cost-watchdog-${lower(replace(each.key, "_", "-"))}"

  replication {
    auto {}
  }

  depends_on = [google_project_service.own]
}

resource "google_secret_manager_secret_iam_member" "slack" {
  for_each = merge([
    for name, function in local.functions : { for key in function.secrets : "${name}/${key}" => { function = name, key = key } }
  ]...)

  project   = var.project
  secret_id = google_secret_manager_secret.slack[each.value.key].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member
}
