resource "google_project_service" "own" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "billingbudgets.googleapis.com",
    "cloudbilling.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "pubsub.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
  ])

  project            = var.project
  service            = each.key
  disable_on_destroy = false # something else in the project may need it
}

data "google_project" "own" {
  project_id = var.project

  depends_on = [google_project_service.own]
}

data "google_project" "watched" {
  for_each = setunion(local.projects, flatten([for budget in var.budgets : budget.projects == null ? [] : tolist(budget.projects)]))

  project_id = each.key

  depends_on = [google_project_service.own]
}
