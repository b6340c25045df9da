# Who watches the watchdog: Cloud Monitoring, from outside. The text of each alert says what happened and what to do; docs/deployment.md says more.

locals {
  ours = "resource.type=\"cloud_run_revision\" AND resource.labels.service_name=~\"^cost-watchdog-\""

  # How the line of a message ends that could not be answered now and comes again by itself; what goes on like that ends as a dead letter, or without a tick.
  again = "shared.errors.(Unavailable|Conflict): [^[:cntrl:]]*$"

  # A line of the log is an alert at once. One that is the same hour after hour is told once an hour.
  lines = {
    blind = {
      title  = "no budget messages", severity = "CRITICAL"
      filter = "severity=ERROR AND labels.alarm=\"blind\""
      labels = { budget = "EXTRACT(labels.budget)" }
      text   = "Google has sent no message of a budget for as long as blind_after says, so nothing would be stopped. See that the budget is connected to the topic cost-watchdog-budgets, that billing-budget-alert@system.gserviceaccount.com may publish to it, and that the policy has the budget's name right."
    }
    permissions = {
      title  = "permissions are missing", severity = "ERROR"
      filter = "severity=ERROR AND labels.alarm=\"permissions\""
      labels = { place = "EXTRACT(labels.place)" }
      text   = "The watchdog may not do what the policy asks of it at this place. Apply Terraform again, with the project and the bucket under `watched`; or see who took the role away."
    }
    brake = {
      title  = "the brake is on", severity = "CRITICAL"
      filter = "severity=ERROR AND labels.alarm=\"brake\""
      labels = { entry = "EXTRACT(labels.entry)" }
      text   = "More was about to be changed within an hour than limits.per_hour allows, so nothing more of that kind (what budgets change, or the deletion of runs) is begun until a person has looked: `python -m functions list`, then `python -m functions release`."
    }
    failed = {
      title  = "entries fail", severity = "ERROR"
      filter = "labels.entry:* AND NOT labels.alarm:* AND (severity>=ERROR OR textPayload=~\": failed\" OR jsonPayload.message=~\": failed\")"
      labels = { entry = "EXTRACT(labels.entry)" }
      text   = "Something could not be stopped, deleted or put back, and is tried again. `python -m functions show ENTRY` says what and why."
    }
    errors = {
      title  = "errors", severity = "ERROR"
      filter = "severity>=ERROR AND NOT labels.alarm:* AND NOT labels.entry:* AND NOT httpRequest.status=500 AND NOT textPayload=~\"${local.again}\" AND NOT jsonPayload.message=~\"${local.again}\""
      labels = { function = "EXTRACT(resource.labels.service_name)" }
      text   = "A function logged an error, or did not start. The line says what to do; docs/errors.md has all of them."
    }
  }

  # What only shows in numbers is counted.
  counted = {
    ticks = {
      about  = "Ticks that were answered"
      filter = "resource.labels.service_name=\"cost-watchdog-task\" AND (textPayload:\"done: \" OR jsonPayload.message:\"done: \")"
    }
    changes = {
      about  = "Services, worker pools and buckets that were changed"
      filter = "labels.entry:* AND labels.service:* AND (textPayload=~\": (verified|restored)\" OR jsonPayload.message=~\": (verified|restored)\")"
    }
  }
  series = { for name in keys(local.counted) : name => "logging_googleapis_com:user_cost_watchdog_${name}{monitored_resource=\"cloud_run_revision\"}" }
  numbers = {
    no-tick = {
      title = "no tick", severity = "CRITICAL"
      # What is absent counts as none. Ten minutes without a tick, and that for twenty minutes.
      query    = "(sum(increase(${local.series.ticks}[10m])) or vector(0)) < 1"
      duration = "1200s"
      text     = "Nothing is carried on, put back or watched since half an hour: Cloud Scheduler, the topic cost-watchdog-tasks or the function cost-watchdog-task has stopped. Look at the job cost-watchdog-tick first, then at the log of the function."
    }
    changes = {
      title    = "unusually many changes", severity = "WARNING"
      query    = "sum(increase(${local.series.changes}[1h])) > ${var.unusual_changes}"
      duration = "0s"
      text     = "More was changed within an hour than ever should be. If that is not meant, apply with mode = \"observe\", which stops all changes, and then `python -m functions restore --all`."
    }
  }

  channels = [for channel in google_monitoring_notification_channel.email : channel.id]
}

resource "google_monitoring_notification_channel" "email" {
  for_each = var.alert_emails

  project      = var.project
  display_name = "Cost Watchdog: ${each.key}"
  type         = "email"
  labels       = { email_address = each.key }

  depends_on = [google_project_service.own]
}

resource "google_logging_metric" "counted" {
  for_each = local.counted

  project     = var.project
  name        = "cost_watchdog_${each.key}"
  description = each.value.about
  filter      = "${local.ours} AND ${each.value.filter}"

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [google_project_service.own]
}

resource "google_monitoring_alert_policy" "dead" {
  project               = var.project
  display_name          = "Cost Watchdog: dead letters"
  combiner              = "OR"
  severity              = "ERROR"
  notification_channels = local.channels

  conditions {
    display_name = "messages that nobody could take"

    condition_threshold {
      filter          = "resource.type=\"pubsub_subscription\" AND resource.labels.subscription_id=\"${google_pubsub_subscription.dead.name}\" AND metric.type=\"pubsub.googleapis.com/subscription/num_undelivered_messages\""
      comparison      = "COMPARISON_GT"
      threshold_value = 0
      duration        = "0s"

      aggregations {
        alignment_period   = "300s"
        per_series_aligner = "ALIGN_MAX"
      }
    }
  }

  documentation {
    content   = "A function failed with a message every time for hours, and what it asked for was not done. `gcloud pubsub subscriptions pull ${google_pubsub_subscription.dead.name} --limit=5` shows it and leaves it there; the log of the function says why."
    mime_type = "text/markdown"
  }
}

resource "google_monitoring_alert_policy" "lines" {
  for_each = local.lines

  project               = var.project
  display_name          = "Cost Watchdog: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = each.value.title

    condition_matched_log {
      filter           = "${local.ours} AND ${each.value.filter}"
      label_extractors = each.value.labels
    }
  }

  alert_strategy {
    auto_close = "86400s"

    notification_rate_limit {
      period = "3600s"
    }
  }

  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }

  depends_on = [google_project_service.own]
}

resource "google_monitoring_alert_policy" "numbers" {
  for_each = local.numbers

  project               = var.project
  display_name          = "Cost Watchdog: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = local.channels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query               = each.value.query
      duration            = each.value.duration
      evaluation_interval = "300s"
      # A metric is known to Cloud Monitoring only once its first line was written.
      disable_metric_validation = true
    }
  }

  documentation {
    content   = each.value.text
    mime_type = "text/markdown"
  }

  depends_on = [google_logging_metric.counted]
}
