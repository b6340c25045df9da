# What is deployed: the archive and the policy, in a bucket of their own, so that nobody but the watchdog writes to the journal.

resource "google_storage_bucket" "config" {
  # checkov:skip=CKV_GCP_62:Access logs cost more than the bucket; who changed what is in the audit logs of Cloud Storage, which are switched on for the whole project where they are wanted

  name          = "${var.project}-cost-watchdog-config"
  project       = var.project
  location      = var.region
  force_destroy = true # all that is in it comes from here

  uniform_bucket_level_access = true
  public_access_prevention    = "enforced"

  versioning {
    enabled = true # the policy of yesterday
  }

  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 90
      with_state                 = "ARCHIVED"
    }
  }

  depends_on = [google_project_service.own]
}

# `make archive` writes it. Named by its content: another archive is another object, and only that deploys the functions anew.
resource "google_storage_bucket_object" "source" {
  bucket = google_storage_bucket.config.name
  name   = "source/${filesha256("${path.module}/.build/source.zip")}.zip"
  source = "${path.module}/.build/source.zip"
}

# Read again by the functions every five minutes, so that a change of the policy deploys nothing.
resource "google_storage_bucket_object" "policy" {
  bucket       = google_storage_bucket.config.name
  name         = "policy.yaml"
  content      = file(var.policy)
  content_type = "application/yaml"
}

resource "google_artifact_registry_repository" "images" {
  # checkov:skip=CKV_GCP_84:The keys are Google's own; customer-managed ones cost more than the watchdog does, and nothing secret lies here

  project       = var.project
  location      = var.region
  repository_id = "cost-watchdog"
  description   = "The images of the watchdog's functions"
  format        = "DOCKER"

  # Old images would be most of what the watchdog costs.
  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"

    condition {
      older_than = "604800s"
    }
  }
  cleanup_policies {
    id     = "keep-two"
    action = "KEEP"

    most_recent_versions {
      keep_count = 2
    }
  }

  depends_on = [google_project_service.own]
}
