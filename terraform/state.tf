# The journal. Nobody writes here but the watchdog; see docs/how-it-works.md for what is in it.

resource "google_storage_bucket" "state" {
  # checkov:skip=CKV_GCP_62:Access logs cost more than the bucket; who changed what is in the audit logs of Cloud Storage, which are switched on for the whole project where they are wanted

  name          = "${var.project}-cost-watchdog-state"
  project       = var.project
  location      = var.region
  force_destroy = false # it says what was parked, and from what it is put back

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      age            = var.keep_closed
      matches_prefix = ["closed/", "manifests/"]
      with_state     = "LIVE"
    }
  }

  # A damaged entry can be put back by hand for so long. Without with_state an absent age once became one of 0, which means everything.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 14
      with_state                 = "ARCHIVED"
    }
  }

  # The versions above are what can be put back, and ticks rewrite objects often: soft delete would bill each of them for another week.
  soft_delete_policy {
    retention_duration_seconds = 0
  }

  lifecycle {
    precondition {
      condition     = length(setsubtract(local.projects, local.known)) == 0
      error_message = "The policy's scope.projects names ${join(", ", setsubtract(local.projects, local.known))}, which `watched` does not have. Add it there if the watchdog may change things in it."
    }
    precondition {
      condition     = length(setsubtract(keys(var.budgets), local.named)) == 0
      error_message = "`budgets` has ${join(", ", setsubtract(keys(var.budgets), local.named))}, for which the policy has no rule; write the name as the policy does."
    }
    precondition {
      condition     = length(setsubtract(local.enabled, keys(local.permissions.actions))) == 0
      error_message = "The policy names an action that there is not: ${join(", ", setsubtract(local.enabled, keys(local.permissions.actions)))}. `python -m functions policy check` says what is meant."
    }
  }

  depends_on = [google_project_service.own]
}
