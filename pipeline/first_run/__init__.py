"""A run without a configuration: images are told from configurations, a start is chosen, and written down."""
