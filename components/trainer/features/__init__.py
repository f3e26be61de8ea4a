"""Features of the frozen backbone: computed once an image, and kept in the feature store."""
