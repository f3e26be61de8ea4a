"""One typed options object a stage, and nothing that needs TensorFlow, TFX or Beam.

Unknown keys, wrong types and values out of range are refused here, once; the stages trust what they get.
Options travel to their stage as JSON (`to_json`, `from_json`), as execution property or `custom_config`.
"""

from components.options.base import Fraction, Options, Positive, PositiveLimit
from components.options.beam import BeamNodeOptions, BeamOptions
from components.options.data import DataOptions, TransformOptions
from components.options.gates import (
    DataGateOptions,
    EvaluatorOptions,
    GateOptions,
    QualityGateOptions,
    ServabilityGateOptions,
)
from components.options.trainer import AugmentOptions, FineTuneOptions, TrainerOptions
from components.options.tuner import SearchRange, SearchSpace, TunedOption, TunerOptions

__all__ = [
    "AugmentOptions",
    "BeamNodeOptions",
    "BeamOptions",
    "DataGateOptions",
    "DataOptions",
    "EvaluatorOptions",
    "FineTuneOptions",
    "Fraction",
    "GateOptions",
    "Options",
    "Positive",
    "PositiveLimit",
    "QualityGateOptions",
    "SearchRange",
    "SearchSpace",
    "ServabilityGateOptions",
    "TrainerOptions",
    "TransformOptions",
    "TunedOption",
    "TunerOptions",
]
