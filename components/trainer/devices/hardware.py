"""The machine that a training runs on, as records have it: what it computes with, never its name."""

from __future__ import annotations

import os
import platform
from typing import Any

import psutil
import tensorflow as tf

CPU_FACTS = "/proc/cpuinfo"
MODEL = "model name"  # a line of it


def describe_hardware() -> dict[str, Any]:
    """Describes this machine.

    Returns:
        `processors` that this process may use, `processor` by name, `memory_mb` in all, and `gpus`: the name of each
        that TensorFlow sees.
    """
    gpus = [tf.config.experimental.get_device_details(gpu) for gpu in tf.config.list_physical_devices("GPU")]
    return {
        "processors": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "processor": read_processor() or platform.machine(),
        "memory_mb": round(psutil.virtual_memory().total / 1e6),
        "gpus": [str(details.get("device_name", "unknown")) for details in gpus],
    }


def read_processor(path: str = CPU_FACTS) -> str:
    """Reads the name of the processor from Linux; empty where the system does not tell it."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            lines = [line.partition(":") for line in file]
    except OSError:
        return ""
    return next((" ".join(value.split()) for name, _, value in lines if name.strip() == MODEL), "")
