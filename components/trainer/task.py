"""What is asked of a Trainer: what TFX gives, read once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tfx.components.trainer.fn_args_utils import FnArgs

from components.contract import features
from components.exports.table import load_forms
from components.options.trainer import TrainerOptions, tuned_values, with_values
from components.trainer.outliers.typicality import count_sample


@dataclass(frozen=True)
class Task:
    """What is asked of a Trainer.

    Attributes:
        options: with what a search found in the place of the options of the same names.
        found_by_search: these values.
        given: patterns of the train files and of the eval files, and the folder of the transform graph.
        features_dir: where features and answers are kept; empty: nowhere.
        checkpoint_dir: where a training is kept while it learns; empty: nowhere.
        model_dir: where the export goes.
        run_dir: where the record goes.
        custom: `custom_config` of TFX, with what the model says of itself.
    """

    options: TrainerOptions
    found_by_search: dict[str, Any]
    given: tuple[list[str], list[str], str]
    features_dir: str
    checkpoint_dir: str
    model_dir: str
    run_dir: str
    custom: dict[str, Any]

    @classmethod
    def of(cls, fn_args: FnArgs) -> Task:
        """Reads what TFX gives."""
        custom, found = fn_args.custom_config, tuned_values(fn_args.hyperparameters)
        options = with_values(TrainerOptions.from_json(custom["options"]), found)
        given = fn_args.train_files, fn_args.eval_files, fn_args.transform_output
        folders = custom.get("features_dir", ""), custom.get("checkpoint_dir", "")
        return cls(options, found, given, *folders, fn_args.serving_model_dir, fn_args.model_run_dir, custom)

    @property
    def code(self) -> str:
        """The digest of the code behind the Trainer; empty where it is not known."""
        return str(self.custom.get("source_fingerprint", ""))

    @property
    def exports(self) -> Sequence[str]:
        """The names of the further forms of the export."""
        return self.custom.get("exports", ())

    @property
    def beam_args(self) -> Sequence[str]:
        """Beam's arguments, for `trainer.feature_pass: beam`."""
        return self.custom.get("beam_args", ())

    @property
    def max_refused(self) -> float:
        """The share of good images that the model may call outliers."""
        return float(self.custom.get("max_refused", features.MAX_REFUSED))

    @property
    def sample(self) -> int | None:
        """How many eval images are enough; None: all, where a form is held against each of them."""
        return None if any(form.ALL_IMAGES for form in load_forms(self.exports)) else count_sample(self.max_refused)

    @property
    def facts(self) -> dict[str, Any]:
        """What the model says of how it reads pictures, and of the search."""
        reading = {name: self.custom.get(name, default) for name, default in features.READING_FACTS.items()}
        crops = bool(self.custom.get("crop_to_aspect_ratio", False))
        return {"tuned": self.found_by_search, features.CROP_FACT: crops, **reading}
