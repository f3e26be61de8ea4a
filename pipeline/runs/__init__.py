"""Runs of a working directory, read back: how each ended, what differs between two, which model each trained."""
