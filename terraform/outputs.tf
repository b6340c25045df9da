output "slack_url" {
  description = "Where slack-manifest.yaml says HERE."
  value       = google_cloudfunctions2_function.all["slack_action"].service_config[0].uri
}

output "audit_url" {
  description = "Where the audit answers whoever `auditors` names."
  value       = google_cloudfunctions2_function.all["audit"].service_config[0].uri
}

output "state_bucket" {
  description = "WATCHDOG_STATE_BUCKET, for commands from a terminal."
  value       = google_storage_bucket.state.name
}

output "policy" {
  description = "WATCHDOG_POLICY, for commands from a terminal."
  value       = "gs://${google_storage_bucket.config.name}/${google_storage_bucket_object.policy.name}"
}

output "tasks_topic" {
  description = "WATCHDOG_TASKS_TOPIC, for commands from a terminal."
  value       = google_pubsub_topic.pushed["task"].id
}

output "secrets" {
  description = "The secrets of which a version has to be added before `slack` is switched on."
  value       = { for key, secret in google_secret_manager_secret.slack : key => secret.secret_id }
}

output "budget_topic" {
  description = "The topic that a budget made elsewhere is connected to."
  value       = google_pubsub_topic.pushed["budget_alert"].id
}

output "budgets_to_connect" {
  description = "Budgets that the policy names and that were not made here."
  value       = setsubtract(local.named, keys(var.budgets))
}
