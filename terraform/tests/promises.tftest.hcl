# What the deployment promises, held against a provider that only pretends. `make terraform-check` runs it.

mock_provider "google" {
  mock_data "google_project" {
    defaults = { number = "123456789012" }
  }
  # In the form that the real provider accepts where they are used.
  mock_resource "google_service_account" {
    defaults = {
      id     = "projects/acme-ml-watchdog/serviceAccounts/cw-function@acme-ml-watchdog.iam.gserviceaccount.com"
      name   = "projects/acme-ml-watchdog/serviceAccounts/cw-function@acme-ml-watchdog.iam.gserviceaccount.com"
      email  = "cw-function@acme-ml-watchdog.iam.gserviceaccount.com"
      member = "serviceAccount:cw-function@acme-ml-watchdog.iam.gserviceaccount.com"
    }
  }
  mock_data "google_storage_project_service_account" {
    defaults = { member = "serviceAccount:service-1@gs-project-accounts.iam.gserviceaccount.com" }
  }
}

variables {
  project         = "acme-ml-watchdog"
  region          = "us-central1"
  billing_account = "01D4EE-079462-DFD6EC"
  policy          = "./tests/policies/wide.yaml"
  budgets         = { Serving = { amount = 5000 } }
  watched         = { acme-ml-staging = ["acme-ml-artifacts"] }
}

run "observe_first" {
  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.all : function.service_config[0].environment_variables["WATCHDOG_MODE"] == "observe"])
    error_message = "The first deployment has to talk and to change nothing."
  }
}

run "enforce_only_when_asked" {
  variables {
    mode = "enforce"
  }
  assert {
    condition     = google_cloudfunctions2_function.all["task"].service_config[0].environment_variables["WATCHDOG_MODE"] == "enforce"
    error_message = "mode = enforce has to reach the functions."
  }
}

run "the_policy_decides_when_asked" {
  variables {
    mode = "policy"
  }
  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.all : !contains(keys(function.service_config[0].environment_variables), "WATCHDOG_MODE")])
    error_message = "Without WATCHDOG_MODE the mode is the policy's."
  }
}

run "no_other_mode" {
  command = plan
  variables {
    mode = "Enforce"
  }
  expect_failures = [var.mode]
}

run "retries_are_on" {
  assert {
    condition = alltrue([
      for subscription in google_pubsub_subscription.pushed :
      subscription.retry_policy[0].minimum_backoff == "10s" && subscription.retry_policy[0].maximum_backoff == "600s"
      && subscription.dead_letter_policy[0].max_delivery_attempts >= 20
    ])
    error_message = "What fails has to come again, with growing pauses and for hours."
  }
  assert {
    condition     = alltrue([for name, subscription in google_pubsub_subscription.pushed : subscription.ack_deadline_seconds > google_cloudfunctions2_function.all[name].service_config[0].timeout_seconds && subscription.ack_deadline_seconds <= 600])
    error_message = "A message must not come again while its function still works on it."
  }
}

run "nothing_expires" {
  assert {
    condition     = alltrue([for subscription in concat(values(google_pubsub_subscription.pushed), [google_pubsub_subscription.dead]) : subscription.expiration_policy[0].ttl == ""])
    error_message = "A subscription that is rarely used must not be deleted for it."
  }
}

run "pushes_carry_an_identity" {
  assert {
    condition     = alltrue([for name, subscription in google_pubsub_subscription.pushed : one(subscription.push_config).oidc_token[0].service_account_email == google_service_account.push.email && one(subscription.push_config).oidc_token[0].audience == google_cloudfunctions2_function.all[name].service_config[0].uri])
    error_message = "A function is called with an identity, and for the address that it has."
  }
  assert {
    condition     = can(regex("^projects/[^/]+/serviceAccounts/[a-z][-a-z0-9]{4,28}[a-z0-9]@[-a-z0-9]+[.]iam[.]gserviceaccount[.]com$", google_service_account_iam_member.push.service_account_id))
    error_message = "The identity is named in full; the provider takes nothing else."
  }
}

run "dead_letters_are_granted" {
  assert {
    condition     = alltrue([for subscription in google_pubsub_subscription.pushed : subscription.dead_letter_policy[0].dead_letter_topic == google_pubsub_topic.dead.id]) && google_pubsub_subscription.dead.topic == google_pubsub_topic.dead.id
    error_message = "What nobody can take has to lie where somebody finds it."
  }
  assert {
    condition     = google_pubsub_topic_iam_member.dead.member == "serviceAccount:service-123456789012@gcp-sa-pubsub.iam.gserviceaccount.com" && google_pubsub_topic_iam_member.dead.role == "roles/pubsub.publisher"
    error_message = "Pub/Sub has to be able to publish dead letters."
  }
  assert {
    condition     = keys(google_pubsub_subscription_iam_member.dead) == keys(google_pubsub_subscription.pushed) && alltrue([for grant in google_pubsub_subscription_iam_member.dead : grant.role == "roles/pubsub.subscriber" && grant.member == google_pubsub_topic_iam_member.dead.member])
    error_message = "Pub/Sub has to be able to take dead letters off every subscription."
  }
}

run "no_public_bucket" {
  assert {
    condition     = alltrue([for bucket in [google_storage_bucket.state, google_storage_bucket.config] : bucket.public_access_prevention == "enforced" && bucket.uniform_bucket_level_access && bucket.versioning[0].enabled])
    error_message = "No bucket may ever be public, and each keeps its versions."
  }
  assert {
    condition     = !google_storage_bucket.state.force_destroy && alltrue([for rule in google_storage_bucket.state.lifecycle_rule : one(rule.condition).with_state != "ANY" && one(rule.condition).with_state != null])
    error_message = "The journal must not go with a destroy, or with a rule that means everything."
  }
  assert {
    condition     = one([for rule in google_storage_bucket.state.lifecycle_rule : one(rule.condition).matches_prefix if one(rule.condition).age != null]) == tolist(["closed/", "manifests/"])
    error_message = "Only what is done may age out of the journal."
  }
}

run "nobody_is_let_in_before_slack" {
  assert {
    condition     = length(google_cloud_run_v2_service_iam_member.slack) == 0 && length(google_cloud_run_v2_service_iam_member.auditors) == 0
    error_message = "Without Slack no function is public, and the audit is nobody's."
  }
  assert {
    condition     = alltrue([for name, function in google_cloudfunctions2_function.all : (function.service_config[0].ingress_settings == "ALLOW_ALL") == contains(["audit", "slack_action"], name)])
    error_message = "Only what is called from outside may be reached from outside."
  }
  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.all : length(function.service_config[0].secret_environment_variables) == 0])
    error_message = "A secret without a version keeps a function from starting."
  }
}

run "slack_lets_everybody_in_at_one_door" {
  variables {
    slack = "app"
  }
  assert {
    condition     = one(google_cloud_run_v2_service_iam_member.slack).member == "allUsers" && one(google_cloud_run_v2_service_iam_member.slack).name == google_cloudfunctions2_function.all["slack_action"].name
    error_message = "allUsers is for slack_action, which checks a signature."
  }
  assert {
    condition = jsonencode({ for name, function in google_cloudfunctions2_function.all : name => join(" ", sort([for secret in function.service_config[0].secret_environment_variables : secret.key])) }) == jsonencode({
      audit         = "SLACK_BOT_TOKEN"
      budget_alert  = "SLACK_BOT_TOKEN"
      slack_action  = "SLACK_SIGNING_SECRET"
      storage_event = ""
      task          = "SLACK_BOT_TOKEN"
    })
    error_message = "Each function gets the secrets that it needs, and no other."
  }
  assert {
    condition     = keys(google_secret_manager_secret_iam_member.slack) == ["audit/SLACK_BOT_TOKEN", "budget_alert/SLACK_BOT_TOKEN", "slack_action/SLACK_SIGNING_SECRET", "task/SLACK_BOT_TOKEN"]
    error_message = "And may read those alone."
  }
}

run "no_auditor_is_everybody" {
  command = plan
  variables {
    auditors = ["allUsers"]
  }
  expect_failures = [var.auditors]
}

run "roles_are_exact" {
  assert {
    condition     = google_project_iam_custom_role.acts["acme-ml-staging"].permissions == toset(["run.operations.get", "run.workerpools.get", "run.workerpools.list", "run.workerpools.update", "storage.buckets.get", "storage.buckets.list", "storage.buckets.update"])
    error_message = "The policy stops worker pools and sets lifecycles, and stops no services: the role has to say just that."
  }
  assert {
    condition     = keys(google_project_iam_custom_role.acts) == ["acme-ml-staging", "acme-ml-watchdog"] && keys(google_project_iam_custom_role.objects) == ["acme-ml-staging", "acme-ml-watchdog"]
    error_message = "A role is needed where the policy works, and nowhere else."
  }
  assert {
    condition     = keys(google_project_iam_member.acts) == ["budget_alert/acme-ml-staging", "budget_alert/acme-ml-watchdog", "task/acme-ml-staging", "task/acme-ml-watchdog"]
    error_message = "Only budget_alert and task change anything."
  }
  assert {
    condition     = keys(google_storage_bucket_iam_member.objects) == ["acme-archive", "acme-ml-artifacts", "acme-scratch"] && alltrue([for grant in google_storage_bucket_iam_member.objects : grant.member == google_service_account.function["task"].member])
    error_message = "Objects are changed in the buckets that the policy names and in no other, by the task alone."
  }
  assert {
    condition     = length(google_service_account_iam_member.acts_as) == 0
    error_message = "Whom the watchdog may act as has to be said."
  }
  assert {
    condition     = keys(google_storage_bucket_iam_member.journal) == ["budget_alert", "storage_event", "task"] && google_project_iam_custom_role.journal.permissions == toset(["storage.objects.create", "storage.objects.delete", "storage.objects.get", "storage.objects.list"])
    error_message = "Three functions write the journal."
  }
  assert {
    condition     = !strcontains(join(" ", google_project_iam_custom_role.requests.permissions), "delete") && strcontains(one(google_storage_bucket_iam_member.requests.condition).expression, "/objects/requests/")
    error_message = "The public function may add requests, and neither change nor delete anything."
  }
  assert {
    condition     = alltrue([for grant in google_project_iam_member.reads : can(regex("^roles/(browser|[a-z]+\\.[a-zA-Z]*([vV]iewer|Reviewer))$", grant.role))])
    error_message = "Who audits only reads."
  }
  assert {
    condition     = keys(google_billing_account_iam_member.reads) == ["audit", "task"] && alltrue([for grant in google_billing_account_iam_member.reads : grant.role == "roles/billing.viewer"])
    error_message = "On the billing account, who audits may look, and nobody may do anything else."
  }
}

run "it_acts_as_whom_it_is_told" {
  variables {
    act_as = { acme-ml-staging = ["ranker@acme-ml-staging.iam.gserviceaccount.com", "123456789012-compute@developer.gserviceaccount.com"] }
  }
  assert {
    condition     = length(google_service_account_iam_member.acts_as) == 4 && google_service_account_iam_member.acts_as["task/ranker@acme-ml-staging.iam.gserviceaccount.com"].service_account_id == "projects/acme-ml-staging/serviceAccounts/ranker@acme-ml-staging.iam.gserviceaccount.com"
    error_message = "Both functions that change services have to be allowed to act as each identity."
  }
  assert {
    condition     = alltrue([for grant in google_service_account_iam_member.acts_as : grant.role == "roles/iam.serviceAccountUser"])
    error_message = "And nothing more than that."
  }
}

run "an_identity_is_an_address" {
  command = plan
  variables {
    act_as = { acme-ml-staging = ["serviceAccount:ranker@acme-ml-staging.iam.gserviceaccount.com"] }
  }
  expect_failures = [var.act_as]
}

run "roles_may_be_named_anew" {
  variables {
    role_suffix = "B"
  }
  assert {
    condition     = alltrue([for role in concat(values(google_project_iam_custom_role.acts), values(google_project_iam_custom_role.objects), values(google_project_iam_custom_role.reads), [google_project_iam_custom_role.journal, google_project_iam_custom_role.requests]) : endswith(role.role_id, "B")])
    error_message = "Google keeps a deleted role's id for 37 days, and it has to be possible to go on meanwhile."
  }
}

run "the_task_need_not_audit" {
  variables {
    audit_by_task = false
  }
  assert {
    condition     = keys(google_billing_account_iam_member.reads) == ["audit"] && !anytrue([for key in keys(google_project_iam_member.reads) : startswith(key, "task/")])
    error_message = "Without audit_by_task the task may not see what the audit sees."
  }
}

run "one_function_fails_alone" {
  assert {
    condition     = keys(google_cloudfunctions2_function.all) == keys(google_service_account.function) && length(distinct([for account in google_service_account.function : account.account_id])) == 5
    error_message = "Each function has an identity of its own."
  }
  assert {
    condition     = length(distinct([for subscription in google_pubsub_subscription.pushed : subscription.name])) == 3 && length(distinct([for topic in google_pubsub_topic.pushed : topic.name])) == 3
    error_message = "Each function has a topic and a subscription of its own, so that one that fails holds up no other."
  }
  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.all : function.service_config[0].environment_variables["THREADS"] == tostring(function.service_config[0].max_instance_request_concurrency)])
    error_message = "Each request that an instance takes has a thread, or it waits for another one's calls."
  }
  assert {
    condition     = strcontains(google_logging_project_exclusion.storage_event.filter, "cost-watchdog-storage-event") && strcontains(google_logging_project_exclusion.storage_event.filter, "httpRequest.status<400")
    error_message = "Of storage events only what failed stands in the log: the lines of the others would cost more than they tell."
  }
  assert {
    condition     = alltrue([for function in google_cloudfunctions2_function.all : function.service_config[0].max_instance_count <= 10 && function.service_config[0].min_instance_count == 0 && function.service_config[0].available_memory == "512Mi" && function.build_config[0].runtime == "python313"])
    error_message = "Each function is bounded, and costs nothing while nothing happens."
  }
}

run "thresholds_are_the_steps" {
  assert {
    condition     = toset([for rule in google_billing_budget.all["Serving"].threshold_rules : "${rule.threshold_percent} ${rule.spend_basis}"]) == toset(["0.5 CURRENT_SPEND", "0.8 CURRENT_SPEND", "0.9 FORECASTED_SPEND", "1 CURRENT_SPEND"])
    error_message = "The budget's thresholds are the steps of the policy."
  }
  assert {
    condition     = jsonencode([for rule in google_billing_budget.all["Serving"].threshold_rules : rule.threshold_percent]) == "[0.5,0.8,0.9,1]"
    error_message = "They stand in one order, so that no apply has to put them into another."
  }
  assert {
    condition     = one(google_billing_budget.all["Serving"].all_updates_rule).schema_version == "1.0" && one(google_billing_budget.all["Serving"].budget_filter).credit_types_treatment == "EXCLUDE_ALL_CREDITS"
    error_message = "Messages go to the topic, and credits hide no spend."
  }
}

run "only_runs_wake_a_function" {
  assert {
    condition     = jsonencode({ for key, notice in google_storage_notification.runs : key => notice.object_name_prefix }) == jsonencode({ "acme-ml-artifacts/teams/" = "teams/", "acme-scratch/" = null })
    error_message = "A bucket tells of the folders of runs alone, and of each folder once."
  }
  assert {
    condition     = alltrue([for notice in google_storage_notification.runs : notice.event_types == toset(["OBJECT_FINALIZE"])])
    error_message = "Only what is written is told of."
  }
}

run "the_clock_ticks" {
  assert {
    condition     = { for name, job in google_cloud_scheduler_job.said : name => base64decode(one(job.pubsub_target).data) } == { digest = "{\"task\":\"digest\"}", tick = "{\"task\":\"tick\"}" }
    error_message = "The tick and the digest are messages that the task understands."
  }
}

run "every_alert_says_what_to_do" {
  variables {
    alert_emails = ["ml-platform@example.com"]
  }
  assert {
    condition     = alltrue([for alert in concat([google_monitoring_alert_policy.dead], values(google_monitoring_alert_policy.lines), values(google_monitoring_alert_policy.numbers)) : length(one(alert.documentation).content) > 80 && length(alert.notification_channels) == 1])
    error_message = "Whoever is woken has to read what happened and what to do."
  }
  assert {
    condition     = keys(google_monitoring_alert_policy.lines) == ["blind", "brake", "errors", "failed", "permissions"] && keys(google_monitoring_alert_policy.numbers) == ["changes", "no-tick"]
    error_message = "Blindness, errors, failures, permissions, a stopped clock and a flood of changes each have an alert."
  }
}

run "the_least_policy" {
  variables {
    policy  = "./tests/policies/small.yaml"
    budgets = {}
    watched = {}
  }
  assert {
    condition     = length(google_project_iam_custom_role.acts) + length(google_project_iam_custom_role.objects) + length(google_storage_notification.runs) + length(google_project_iam_member.acts) == 0
    error_message = "A policy that asks for nothing is given nothing."
  }
}

run "an_unknown_action_is_named" {
  command = plan
  variables {
    policy  = "./tests/policies/unknown.yaml"
    budgets = {}
    watched = {}
  }
  expect_failures = [google_storage_bucket.state]
}

run "the_policy_alone_gives_no_rights_elsewhere" {
  command = plan
  variables {
    watched = {}
  }
  expect_failures = [google_storage_bucket.state]
}

run "a_budget_without_a_rule_is_refused" {
  command = plan
  variables {
    budgets = { Serving = { amount = 5000 }, Serbing = { amount = 1 } }
  }
  expect_failures = [google_storage_bucket.state]
}

run "the_example_can_be_deployed" {
  variables {
    policy  = "../policy.yaml"
    budgets = { "ML Training Budget" = { amount = 10000 } }
    watched = { acme-ml-staging = ["acme-ml-artifacts"] }
  }
  assert {
    condition     = length(output.budgets_to_connect) == 0 && keys(google_project_iam_custom_role.acts) == ["acme-ml-staging"]
    error_message = "The policy that comes with the watchdog has to be one that Terraform can deploy."
  }
}
