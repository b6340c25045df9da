"""What the watchdog knows and does, apart from being called: decisions in the middle, the outside world at the edges."""
