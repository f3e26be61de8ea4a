"""Kubeflow Pipelines as a service: connection, runs, recurring runs, and waiting for one."""
