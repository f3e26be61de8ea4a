"""Which images belong together, and the side of the split that each falls on. Pure functions over arrays."""
