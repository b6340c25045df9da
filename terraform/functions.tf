locals {
  # Where the policy is to say, there is no WATCHDOG_MODE at all.
  base = merge(var.mode == "policy" ? {} : { WATCHDOG_MODE = var.mode }, {
    GOOGLE_CLOUD_PROJECT  = var.project
    WATCHDOG_STATE_BUCKET = google_storage_bucket.state.name
    WATCHDOG_POLICY       = "gs://${google_storage_bucket.config.name}/${google_storage_bucket_object.policy.name}"
  })
  tasks = { WATCHDOG_TASKS_TOPIC = google_pubsub_topic.pushed["task"].id }

  # Which of the secrets are in use: environment name => secret.
  talks  = var.slack == "app" ? ["SLACK_BOT_TOKEN"] : var.slack == "webhook" ? ["SLACK_WEBHOOK_URL"] : []
  signed = var.slack == "app" ? ["SLACK_SIGNING_SECRET"] : []

  # ingress: only Google's services of this project reach what a topic pushes to; people reach the audit, with IAM, and Slack its function, with its signature.
  functions = {
    budget_alert = {
      about   = "Carries out the steps that a budget newly reaches", ingress = "ALLOW_INTERNAL_ONLY"
      timeout = 540, instances = 3, cpu = "1", concurrency = 4, environment = local.tasks, secrets = local.talks
    }
    storage_event = {
      about   = "Notices failed runs, and writes that down", ingress = "ALLOW_INTERNAL_ONLY"
      timeout = 60, instances = 5, cpu = "1", concurrency = 40, environment = {}, secrets = []
    }
    task = {
      about   = "Carries on what is due, and does what people ask for in Slack", ingress = "ALLOW_INTERNAL_ONLY"
      timeout = 540, instances = 10, cpu = "1", concurrency = 4, environment = local.tasks, secrets = local.talks
    }
    slack_action = {
      about   = "Takes what people press and type in Slack, once its signature is right", ingress = "ALLOW_ALL"
      timeout = 30, instances = 3, cpu = "1", concurrency = 20, environment = local.tasks, secrets = local.signed
    }
    audit = {
      about   = "Reads everything and changes nothing", ingress = "ALLOW_ALL"
      timeout = 300, instances = 2, cpu = "1", concurrency = 2, environment = local.tasks, secrets = local.talks
    }
  }
}

resource "google_cloudfunctions2_function" "all" {
  # checkov:skip=CKV_GCP_124:Two are called from outside: slack_action by Slack, which has no identity at Google and signs instead, and audit by people, with IAM; the others are internal

  for_each = local.functions

  project     = var.project
  name        = "cost-watchdog-${replace(each.key, "_", "-")}"
  location    = var.region
  description = each.value.about

  build_config {
    runtime           = "python313"
    entry_point       = each.key
    service_account   = google_service_account.build.id
    docker_repository = google_artifact_registry_repository.images.id

    source {
      storage_source {
        bucket = google_storage_bucket.config.name
        object = google_storage_bucket_object.source.name
      }
    }
  }

  service_config {
    service_account_email            = google_service_account.function[each.key].email
    available_memory                 = "512Mi"
    available_cpu                    = each.value.cpu
    timeout_seconds                  = each.value.timeout
    min_instance_count               = 0
    max_instance_count               = each.value.instances
    max_instance_request_concurrency = each.value.concurrency
    ingress_settings                 = each.value.ingress
    all_traffic_on_latest_revision   = true
    environment_variables            = merge(local.base, each.value.environment, { THREADS = tostring(each.value.concurrency) }) # else functions-framework has four per processor

    dynamic "secret_environment_variables" {
      for_each = toset(each.value.secrets)

      content {
        key        = secret_environment_variables.key
        project_id = var.project
        secret     = google_secret_manager_secret.slack[secret_environment_variables.key].secret_id
        version    = "latest"
      }
    }
  }

  # Each function starts with its rights, or its first message fails.
  depends_on = [
    google_project_iam_member.build_logs,
    google_project_iam_member.build_source,
    google_artifact_registry_repository_iam_member.build,
    google_secret_manager_secret_iam_member.slack,
    google_storage_bucket_iam_member.journal,
    google_storage_bucket_iam_member.requests,
    google_storage_bucket_iam_member.policy,
  ]
}

# Cloud Run writes a line for each request, and for a hundred million events those would cost more than Pub/Sub does. What fails is kept.
resource "google_logging_project_exclusion" "storage_event" {
  project     = var.project
  name        = "cost-watchdog-storage-event"
  description = "Requests of storage events that were answered"
  filter      = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=\"cost-watchdog-storage-event\" AND log_id(\"run.googleapis.com/requests\") AND httpRequest.status<400"

  depends_on = [google_project_service.own]
}
