"""Kubeflow Pipelines v2: compile the one DAG, run its tasks in pods, execute what was compiled on one machine."""
