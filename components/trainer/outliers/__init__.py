"""Whether an image looks like those that were learned from: a bank of their features, and what is usual for others."""
