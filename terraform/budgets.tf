resource "google_billing_budget" "all" {
  for_each = var.budgets

  billing_account = var.billing_account
  display_name    = each.key

  budget_filter {
    projects = [for project in coalesce(each.value.projects, local.projects) : "projects/${data.google_project.watched[project].number}"]
    # Otherwise a grant hides what is spent until it is gone.
    credit_types_treatment = "EXCLUDE_ALL_CREDITS"
    calendar_period        = "MONTH"
  }

  amount {
    specified_amount {
      currency_code = each.value.currency
      units         = tostring(each.value.amount)
    }
  }

  dynamic "threshold_rules" {
    for_each = lookup(local.thresholds, each.key, [])

    content {
      threshold_percent = threshold_rules.value.at
      spend_basis       = threshold_rules.value.basis == "forecast" ? "FORECASTED_SPEND" : "CURRENT_SPEND"
    }
  }

  all_updates_rule {
    pubsub_topic                     = google_pubsub_topic.pushed["budget_alert"].id
    schema_version                   = "1.0"
    monitoring_notification_channels = [for channel in google_monitoring_notification_channel.email : channel.id]
  }
}
