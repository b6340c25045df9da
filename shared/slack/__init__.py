"""The conversation in Slack: what is said and kept up to date there, and what people ask for. The wire is in `shared.cloud.slack`."""
