"""A Google Cloud and a Slack on this machine, at wire level, for the demo and for tests."""
