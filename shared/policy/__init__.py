"""The policy: how it is written, what it says, and whom a step means."""
