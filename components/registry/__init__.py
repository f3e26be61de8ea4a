"""The registry of served versions: published whole, verified to the byte, found, promoted, rolled back, pruned."""
