"""Vertex AI as a service: runs and schedules."""
