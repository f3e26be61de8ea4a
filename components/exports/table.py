"""Further forms of an export, by the names of the option `exports`. To add one: a module, and a row in `EXPORT_FORMS`.

The module has the names of `Form`. The Trainer writes the form beside each export; the trial before a run writes it for
a network with a head of zeros, so that a network that the form cannot hold is refused before any image is read;
ServableCheck runs the module's probe in a fresh process and judges what it answers. Modules are loaded when they are
used: the configuration only needs the names, and no TensorFlow.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast, runtime_checkable

from components.contract import features
from components.contract.gates import Check

EXPORT_FORMS = {"tflite": "components.exports.tflite"}


@runtime_checkable
class Form(Protocol):
    """The names that the module of a form has.

    Attributes:
        TITLE: what people call it.
        FILE: name of the file that it adds to an export.
        PROBE: script that ServableCheck runs with `--wait` in a fresh process with nothing but TensorFlow; it imports
            nothing of Graft, and reads the paths of request and answer, JSON files, from a line of standard input.
    """

    TITLE: str
    FILE: str
    PROBE: Path

    def write(self, model: str) -> None:
        """Adds the form to an exported SavedModel, as the file `file_of`.

        Raises:
            InputError: the form cannot hold this network.
        """

    def settings(self) -> dict[str, Any]:
        """Gives what the probe is told besides `file`, its path, and the request of the SavedModel's probe."""

    def judge(
        self, answer: dict[str, Any], labels: list[str], max_difference: float
    ) -> tuple[dict[str, Any], list[Check]]:
        """Holds what the probe answered against the class names of the export, and a difference in probability.

        Returns:
            What was measured, and the checks; the names of both begin with the form's.
        """


def load_form(name: str) -> Form:
    """Gives the module of a form."""
    return cast(Form, importlib.import_module(EXPORT_FORMS[name]))


def load_forms(names: Sequence[str]) -> list[Form]:
    """Gives the modules of the forms that are asked for, in their order."""
    return [load_form(name) for name in names]


def file_of(form: Form, model: str) -> str:
    """Gives the path of a form's file in an export."""
    return os.path.join(model, features.EXTRA_ASSETS, form.FILE)


def check_name(name: Any) -> Any:
    """Refuses a name that no form has; gives any other back.

    Raises:
        ValueError: names those that there are.
    """
    if name not in list(EXPORT_FORMS):
        raise ValueError(f"Input should be {' or '.join(repr(known) for known in EXPORT_FORMS)}")
    return name
