"""What runs in a pod of a compiled pipeline."""
