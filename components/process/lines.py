"""The TFX lines that Graft runs on, and all that its code does differently on them: a row a line.

To drop a line: delete its row here, its files in `requirements/`, what `scripts/setup_env.sh` and the Dockerfile say of
it, and what `git grep "TFX 1.16 only"` finds.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass
from importlib import metadata

# Libraries whose change may change a result.
LIBRARIES = ("tfx", "tensorflow", "keras", "tensorflow-transform", "tensorflow-model-analysis", "apache-beam")


@dataclass(frozen=True)
class Line:
    """One line of TFX.

    Attributes:
        name: major and minor version of TFX.
        pythons: versions of Python that it runs on, the preferred one first.
        tflite_interpreter: module whose class `Interpreter` runs TensorFlow Lite models: TensorFlow 2.21 is the last
            line to bring one and warns of it, LiteRT's needs a newer protobuf and NumPy than TensorFlow 2.16.
    """

    name: str
    pythons: tuple[str, ...]
    tflite_interpreter: str


LINES = {
    line.name: line
    for line in (
        Line("1.21", ("3.13", "3.12", "3.11"), "ai_edge_litert.interpreter"),
        Line("1.16", ("3.10",), "tensorflow.lite.python.interpreter"),
    )
}


def line_name(tfx_version: str) -> str:
    """The line of a version of TFX: `1.21` of `1.21.0`; empty of an empty text."""
    return ".".join(tfx_version.split(".")[:2])


def current_line() -> Line:
    """The line of the installed TFX; a newer one that has no row is taken as the newest that has."""
    return LINES.get(line_name(metadata.version("tfx")), next(iter(LINES.values())))


def library_versions() -> dict[str, str]:
    """Versions of Python and of the libraries whose change may change a result."""
    return {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}}
