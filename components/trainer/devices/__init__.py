"""Devices and workers: distribution strategies, `TF_CONFIG`, and what workers share."""
