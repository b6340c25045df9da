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

# Read while planning, and so without a word about the services above: otherwise each plan that switches one more on would not know the numbers, and take
# every grant to a service agent away and give it anew. What reading them takes is switched on before the first apply: docs/deployment.md.
data "google_project" "own" {
  project_id = var.project
}

data "google_project" "watched" {
  for_each = setunion(local.projects, flatten([for budget in var.budgets : budget.projects == null ? [] : tolist(budget.projects)]))

  project_id = each.key
}
