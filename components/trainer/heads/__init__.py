"""The classification head: the scale and the penalty that it learns under, its epochs, and its weights."""
