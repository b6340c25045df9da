# Each function has one topic and one push subscription, made here and not by Eventarc, so that the retries, the pauses between them, the dead letters and the
# expiry are ours to say and to test: docs/decisions/0007-deployment.md.

locals {
  # Who sends what to whom.
  pushed = {
    budget_alert  = "budgets"
    task          = "tasks"
    storage_event = "objects"
  }
  # Pauses of 10, 20, 40, 80, 160, 320 and then 600 seconds come to about 7 hours. A budget says again within hours how it stands, and a tick comes each minute.
  attempts = 50
  agent    = "serviceAccount:service-${data.google_project.own.number}@gcp-sa-pubsub.iam.gserviceaccount.com"
}

resource "google_pubsub_topic" "pushed" {
  # checkov:skip=CKV_GCP_83:The keys are Google's own; customer-managed ones cost more than the watchdog does, and nothing secret lies here

  for_each = local.pushed

  project = var.project
  name    = "cost-watchdog-${each.value}"

  depends_on = [google_project_service.own]
}

resource "google_pubsub_topic" "dead" {
  # checkov:skip=CKV_GCP_83:The keys are Google's own; customer-managed ones cost more than the watchdog does, and nothing secret lies here

  project = var.project
  name    = "cost-watchdog-dead-letters"

  depends_on = [google_project_service.own]
}

resource "google_pubsub_subscription" "pushed" {
  for_each = local.pushed

  project                    = var.project
  name                       = "cost-watchdog-${each.value}"
  topic                      = google_pubsub_topic.pushed[each.key].id
  ack_deadline_seconds       = local.functions[each.key].timeout + 60
  message_retention_duration = "86400s"

  push_config {
    push_endpoint = google_cloudfunctions2_function.all[each.key].service_config[0].uri

    oidc_token {
      service_account_email = google_service_account.push.email
      audience              = google_cloudfunctions2_function.all[each.key].service_config[0].uri
    }
  }

  retry_policy {
    minimum_backoff = "10s"
    maximum_backoff = "600s"
  }

  dead_letter_policy {
    dead_letter_topic     = google_pubsub_topic.dead.id
    max_delivery_attempts = local.attempts
  }

  expiration_policy {
    ttl = "" # never; otherwise a month without a message would delete it
  }

  # Without them the dead letters are lost, and the subscription's first push is refused.
  depends_on = [
    google_pubsub_topic_iam_member.dead,
    google_cloud_run_v2_service_iam_member.push,
    google_service_account_iam_member.push,
  ]
}

# What nobody could take lies here until a person has seen it: docs/deployment.md says how.
resource "google_pubsub_subscription" "dead" {
  project                    = var.project
  name                       = "cost-watchdog-dead-letters"
  topic                      = google_pubsub_topic.dead.id
  ack_deadline_seconds       = 60
  message_retention_duration = "2678400s"

  expiration_policy {
    ttl = ""
  }
}

# Pub/Sub itself moves messages to the dead letters, for which it needs both.

resource "google_pubsub_topic_iam_member" "dead" {
  project = var.project
  topic   = google_pubsub_topic.dead.name
  role    = "roles/pubsub.publisher"
  member  = local.agent
}

resource "google_pubsub_subscription_iam_member" "dead" {
  for_each = local.pushed

  project      = var.project
  subscription = google_pubsub_subscription.pushed[each.key].name
  role         = "roles/pubsub.subscriber"
  member       = local.agent
}

# Google's own grant for budgets is made when a budget is connected; nothing here is authoritative, so it stays.

resource "google_pubsub_topic_iam_member" "tasks" {
  for_each = toset(["budget_alert", "task", "slack_action"])

  project = var.project
  topic   = google_pubsub_topic.pushed["task"].name
  role    = "roles/pubsub.publisher"
  member  = google_service_account.function[each.key].member
}

data "google_storage_project_service_account" "buckets" {
  for_each = toset([for bucket in local.runs_in : local.home[bucket]])

  project = each.key
}

resource "google_pubsub_topic_iam_member" "objects" {
  for_each = data.google_storage_project_service_account.buckets

  project = var.project
  topic   = google_pubsub_topic.pushed["storage_event"].name
  role    = "roles/pubsub.publisher"
  member  = each.value.member
}
