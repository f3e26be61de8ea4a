"""Answers that take seconds to compute and follow from digests alone, kept beside the features.

    features/known/<digest of the question>.json

An answer that is missing, damaged or not writable is computed again: nothing depends on this folder but time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from components.files.digests import seal, unseal
from components.files.paths import make_folder, read_bytes, write_atomically
from components.trainer.devices.tf_config import is_chief

FOLDER = "known"

log = logging.getLogger("graft.run")


@dataclass(frozen=True)
class AnswerCache:
    """Answers of earlier runs.

    Attributes:
        root: `features/` of the working directory, local or remote; empty: nothing is kept.
    """

    root: str = ""

    def recall(self, question: dict[str, Any], compute: Callable[[], Any]) -> Any:
        """Gives the answer to a question from the folder, or computes and keeps it.

        Args:
            question: JSON values, all that the answer depends on; library versions are added.
            compute: gives the answer, JSON values.
        """
        path = self._path(question)
        answer = self._read(path)
        if answer is None:
            answer = compute()
            self._keep(path, answer)
        return answer

    def _path(self, question: dict[str, Any]) -> str:
        import keras
        import tensorflow as tf

        text = json.dumps({**question, "tensorflow": tf.__version__, "keras": keras.__version__}, sort_keys=True)
        return os.path.join(self.root, FOLDER, f"{hashlib.sha256(text.encode()).hexdigest()}.json")

    def _read(self, path: str) -> Any:
        with suppress(ValueError, OSError):
            if self.root:
                return json.loads(unseal(read_bytes(path)))
        return None

    def _keep(self, path: str, answer: Any) -> None:
        if not self.root or not is_chief():
            return
        try:
            make_folder(os.path.dirname(path))
            write_atomically(path, seal(json.dumps(answer).encode()))
        except OSError as error:
            log.warning("%s could not be written, it is found out again next time: %s", path, error)
