"""Entry points: they decode what arrives, call `shared`, and say whether it is done. No decision is made here."""
