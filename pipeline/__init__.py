"""Graft: a production TFX pipeline for transfer learning on images."""

import components  # noqa: F401  first, before any library: see `components/process/surroundings.py`

__version__ = "0.1.0"
