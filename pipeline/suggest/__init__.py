"""`graft suggest`: which unlabelled images would teach a model most, or that choosing them is no better than chance."""
