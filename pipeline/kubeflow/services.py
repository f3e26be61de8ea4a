"""The services that `--target` names; the first is the default. To add one, add its module here: see `service.py`."""

from __future__ import annotations

from pipeline.kubeflow.kfp import service as kfp
from pipeline.kubeflow.service import Service
from pipeline.kubeflow.vertex import service as vertex

SERVICES: dict[str, Service] = {module.NAME: module for module in (kfp, vertex)}
