"""The audit: what is seen, the report of it, and the forms that it takes. What it looks for is in `shared.checks`."""
