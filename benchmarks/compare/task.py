"""What all sides of the comparison are given: the same images, weights, sizes and seed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

TRAIN_NAMES, EVAL_NAMES = ("train", "training"), ("validation", "valid", "val", "eval", "test")


@dataclass(frozen=True)
class Task:
    """One comparison.

    Attributes:
        data: folder of images: class folders, or split folders with class folders in them.
        weights: of a MobileNetV2 without top, a file that Keras loads.
        scratch: where a side may write; emptied between the sides.
        alpha: width of the MobileNetV2.
        image_size: side of the square that images are resized to, pixels.
        epochs: of Graft's head; the tutorial and the plain pipeline have ten, as the tutorial says.
        batch_size: of training.
        seed: of everything random.
    """

    data: str
    weights: str
    scratch: str
    alpha: float = 0.35
    image_size: int = 160
    epochs: int = 20
    batch_size: int = 32
    seed: int = 1

    @property
    def train_folder(self) -> str:
        """The folder of the train split; empty where the data gives no split."""
        return self._find(TRAIN_NAMES) if self._find(EVAL_NAMES) else ""

    @property
    def eval_folder(self) -> str:
        """The folder of the validation split; empty where the data gives no split."""
        return self._find(EVAL_NAMES)

    def _find(self, names: tuple[str, ...]) -> str:
        found = [Path(self.data, name) for name in names if Path(self.data, name).is_dir()]
        return str(found[0]) if found else ""

    def write(self, path: Path) -> Path:
        """Writes the task as JSON; gives the path."""
        path.write_text(json.dumps(asdict(self), indent=2), "utf-8")
        return path

    @classmethod
    def read(cls, path: Path) -> Task:
        """The inverse of `write`."""
        return cls(**json.loads(path.read_text("utf-8")))
