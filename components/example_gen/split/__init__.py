"""Finds images that belong together, and draws the side of the split for each. Pure functions over arrays."""
