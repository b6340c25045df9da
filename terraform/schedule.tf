resource "google_cloud_scheduler_job" "said" {
  for_each = { tick = var.tick, digest = var.digest }

  project     = var.project
  region      = var.region
  name        = "cost-watchdog-${each.key}"
  description = each.key == "tick" ? "Looks at what is due" : "Sends the week's digest"
  schedule    = each.value
  time_zone   = "Etc/UTC"

  pubsub_target {
    topic_name = google_pubsub_topic.pushed["task"].id
    data       = base64encode(jsonencode({ task = each.key }))
  }

  retry_config {
    retry_count          = each.key == "tick" ? 0 : 5 # the next tick is a minute away
    min_backoff_duration = "30s"
  }

  depends_on = [google_project_service.own, google_pubsub_subscription.pushed]
}
