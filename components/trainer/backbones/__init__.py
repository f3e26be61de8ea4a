"""Frozen pretrained networks: the table, their weights, and how one is built."""
