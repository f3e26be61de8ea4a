"""Further forms of an export, by the names of the option `exports`. To add one: a module, and a row in `EXPORT_FORMS`.

The module has the names of `Form`. The Trainer writes the form beside each export; the trial before a run writes it for
a network with a head of zeros, so that a network that the form cannot hold is refused before any image is read;
ServableCheck runs the module's probe in a fresh process and judges what it answers (`answers.py`). Modules are loaded
when they are used: the configuration only needs the names, and no TensorFlow.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast, runtime_checkable

from components.contract import features
from components.contract.gates import Check
from components.errors import InputError
from components.files.paths import make_folder, write_atomically

if TYPE_CHECKING:
    from components.exports.answers import Limits, Reference  # loads SciPy

EXPORT_FORMS = {
    "tflite": "components.exports.tflite",
    "tflite-int8": "components.exports.tflite_int8",
    "onnx": "components.exports.onnx",
}
EXTRAS = {"onnx": ("tf2onnx", "onnx", "onnxruntime")}  # packages of the extra of the same name

Images = Callable[[int], list[bytes]]  # gives so many encoded images of the train side, or fewer, always the same


@runtime_checkable
class Form(Protocol):
    """The names that the module of a form has.

    Attributes:
        TITLE: what people call it.
        FILE: name of the file that it adds to an export.
        PROBE: script that ServableCheck runs with `--wait` in a fresh process; it imports nothing of Graft, and reads
            the paths of request and answer, JSON files, from a line of standard input.
        ALL_IMAGES: whether the probe answers every eval image; else those that the SavedModel's probe replays.
    """

    TITLE: str
    FILE: str
    PROBE: Path
    ALL_IMAGES: bool

    def write(self, model: str, images: Images) -> None:
        """Adds the form to an exported SavedModel, as the file `file_of`.

        Raises:
            InputError: the form cannot hold this network.
        """

    def settings(self) -> dict[str, Any]:
        """Gives what the probe is told besides the request of the SavedModel's probe and what `check_forms` adds."""

    def judge(self, answer: dict[str, Any], reference: Reference, limits: Limits) -> tuple[dict[str, Any], list[Check]]:
        """Holds what the probe answered against what is known of the export.

        Returns:
            What was measured, and the checks; the names of both begin with the form's.
        """


def load_form(name: str) -> Form:
    """Gives the module of a form."""
    return cast(Form, importlib.import_module(EXPORT_FORMS[name]))


def load_forms(names: Sequence[str]) -> list[Form]:
    """Gives the modules of the forms that are asked for, in their order."""
    return [load_form(name) for name in names]


def check_packages(names: Sequence[str]) -> None:
    """Finds out whether the packages are installed that the forms need besides Graft's own; loads none of them.

    Raises:
        InputError: names those that are missing.
    """
    for name in names:
        if missing := [package for package in EXTRAS.get(name, ()) if importlib.util.find_spec(package) is None]:
            raise InputError(
                f"exports: {name} needs the packages {' and '.join(missing)}, which are not installed.\n"
                f"Install them, pip install {' '.join(missing)}, or leave `{name}` out."
            )


def file_of(form: Form, model: str) -> str:
    """Gives the path of a form's file in an export."""
    return os.path.join(model, features.EXTRA_ASSETS, form.FILE)


def write_file(model: str, name: str, content: bytes) -> None:
    """Writes a form's file into an export."""
    folder = os.path.join(model, features.EXTRA_ASSETS)
    make_folder(folder)
    write_atomically(os.path.join(folder, name), content)


def check_name(name: Any) -> Any:
    """Refuses a name that no form has; gives any other back.

    Raises:
        ValueError: names those that there are.
    """
    if name not in list(EXPORT_FORMS):
        raise ValueError(f"Input should be {' or '.join(repr(known) for known in EXPORT_FORMS)}")
    return name
