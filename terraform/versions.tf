terraform {
  required_version = ">= 1.9"

  required_providers {
    google = {
      source  = "hashicorp/google"
      version = "~> 7.0"
    }
  }
}

provider "google" {
  project = var.project
  region  = var.region

  # The Budget API asks which project pays for its calls where a person applies this with their own credentials.
  billing_project       = var.project
  user_project_override = true

  default_labels = {
    managed-by = "terraform"
    app        = "cost-watchdog"
    # The label by which the watchdog leaves its own services alone, whatever the policy says.
    cost-watchdog = "protect"
  }
}
