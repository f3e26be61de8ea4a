"""What stages agree on: names and shapes of what flows between them, artifacts, gates, limits."""
