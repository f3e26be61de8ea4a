"""Options: defaults, what is refused, and the way to a stage and back."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from components.options.base import Options
from components.options.beam import BeamNodeOptions, BeamOptions
from components.options.card import CardOptions
from components.options.data import DataOptions, TransformOptions
from components.options.gates import (
    DataGateOptions,
    EvaluatorOptions,
    GateOptions,
    QualityGateOptions,
    ServabilityGateOptions,
)
from components.options.trainer import AugmentOptions, FineTuneOptions, TrainerOptions
from components.options.tuner import SearchRange, TunerOptions

ALL = [
    DataOptions,
    TransformOptions,
    AugmentOptions,
    FineTuneOptions,
    TrainerOptions,
    TunerOptions,
    EvaluatorOptions,
    DataGateOptions,
    QualityGateOptions,
    ServabilityGateOptions,
    GateOptions,
    BeamNodeOptions,
    BeamOptions,
    CardOptions,
]
CHANGED = [
    DataOptions(path="photos", eval_fraction=0.3, max_pixels=10, shard_megabytes=1),
    TransformOptions(image_size=(96, 128), resize="area", crop_to_aspect_ratio=True),
    TrainerOptions(
        backbone="ResNet50", backbone_args={"alpha": 0.35, "deep": True, "n": 2, "s": "x"}, devices="gpu:0,1"
    ),
    SearchRange(low=0.1, high=1, log=True),
    CardOptions(
        license="apache-2.0", intended_use="a | b\n---\n- c", datasets=["ann/pets"], tags=["x"], show_user=True
    ),
    TunerOptions(enabled=True, space={"dropout": SearchRange(low=0.1, high=0.2), "hidden_units": [0, 8]}),
    GateOptions(quality=QualityGateOptions(min_accuracy=0.9), data=DataGateOptions(on_anomaly="warn")),
]


def test_every_options_class_is_walked_here():
    assert {*ALL, SearchRange} == {
        cls for cls in Options.__subclasses__() if cls.__module__.startswith("components.options.")
    }


@pytest.mark.parametrize("options", [*(cls() for cls in ALL), *CHANGED], ids=lambda options: type(options).__name__)
def test_options_travel_as_json_and_come_back_the_same(options):
    assert type(options).from_json(options.to_json()) == options


def test_the_json_of_equal_options_is_the_same_text():
    first = TrainerOptions(epochs=3, dropout=0.1)
    second = TrainerOptions(dropout=0.1, epochs=3)
    assert first.to_json() == second.to_json()
    assert first.to_json() != TrainerOptions(epochs=4, dropout=0.1).to_json()


@pytest.mark.parametrize("options", ALL)
def test_unknown_keys_are_refused(options):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        options(surprise=1)


@pytest.mark.parametrize("options", ALL)
def test_options_do_not_change_under_a_stage(options):
    made = options()
    with pytest.raises(ValidationError, match="frozen"):
        setattr(made, next(iter(options.model_fields)), 1)


def test_a_second_stage_is_asked_for_by_number_or_by_name():
    assert not FineTuneOptions().asked_for
    assert FineTuneOptions(layers=1).asked_for
    assert FineTuneOptions(from_layer="block_16_expand").asked_for


def test_one_number_is_a_square():
    assert TransformOptions(image_size=160).image_size == (160, 160)
    assert TransformOptions(image_size=[96, 128]).image_size == (96, 128)


@pytest.mark.parametrize("value", [True, 0, -1, [160], [1, 2, 3], [0, 10], "160x160", 1.5, None])
def test_other_image_sizes_are_refused(value):
    with pytest.raises(ValidationError, match="image_size"):
        TransformOptions(image_size=value)


@pytest.mark.parametrize(
    ("options", "values"),
    [
        (DataOptions, {"eval_fraction": 0.0}),
        (DataOptions, {"eval_fraction": 1.0}),
        (DataOptions, {"max_pixels": 0}),
        (DataOptions, {"shard_megabytes": -1}),
        (TransformOptions, {"resize": "lanczos"}),
        (TrainerOptions, {"dropout": 1.0}),
        (TrainerOptions, {"dropout": float("nan")}),
        (TrainerOptions, {"learning_rate": 0}),
        (TrainerOptions, {"l2": -0.1}),
        (TrainerOptions, {"epochs": 0}),
        (TrainerOptions, {"epochs": 2.5}),
        (TrainerOptions, {"epochs": "many"}),
        (TrainerOptions, {"batch_size": 0}),
        (TrainerOptions, {"early_stopping_patience": -1}),
        (TrainerOptions, {"validation_fraction": 1.0}),
        (FineTuneOptions, {"layers": -1}),
        (FineTuneOptions, {"learning_rate": 0.0}),
        (FineTuneOptions, {"checkpoint_steps": 0}),
        (TrainerOptions, {"seed": -1}),
        (TrainerOptions, {"seed": 2**32}),
        (TrainerOptions, {"backbone_args": {"alpha": [0.35]}}),
        (EvaluatorOptions, {"batch_size": 0}),
        (DataGateOptions, {"on_anomaly": "ignore"}),
        (QualityGateOptions, {"min_accuracy": 1.1}),
        (QualityGateOptions, {"max_accuracy_drop": -0.1}),
        (ServabilityGateOptions, {"images": 0}),
        (ServabilityGateOptions, {"max_difference": 0.0}),
        (ServabilityGateOptions, {"timeout_seconds": 0}),
    ],
    ids=lambda value: "-".join(f"{k}={v}" for k, v in value.items()) if isinstance(value, dict) else value.__name__,
)
def test_values_out_of_range_are_refused_by_name(options, values):
    with pytest.raises(ValidationError, match=next(iter(values))):
        options(**values)


def test_a_second_stage_holds_out_a_tenth_and_nothing_else_does():
    second = {"layers": 3}
    assert TrainerOptions().held_out == 0
    assert TrainerOptions(fine_tune=second).held_out == 0.1
    assert TrainerOptions(fine_tune=second, validation_fraction=0.3).held_out == 0.3
    assert TrainerOptions(validation_fraction=0.2).held_out == 0.2
    for wish in (second, {"from_layer": "last"}):
        with pytest.raises(ValidationError, match=r"Leave validation_fraction out \(0.1 then\), or fine_tune"):
            TrainerOptions(fine_tune=wish, validation_fraction=0.0)


@pytest.mark.parametrize("devices", ["auto", "cpu", "cpu:1", "cpu:16", "gpu", "gpu:0", "gpu:0,1", "gpu:12,3"])
def test_devices_that_are_understood(devices):
    assert TrainerOptions(devices=devices).devices == devices


@pytest.mark.parametrize(
    "devices", ["", "tpu", "cpu:0", "cpu:", "cpu:x", "gpu:", "gpu:0,", "gpu:-1", "CPU", "auto:2", "cpu:1\n"]
)
def test_other_devices_are_refused(devices):
    with pytest.raises(ValidationError, match="devices"):
        TrainerOptions(devices=devices)


@given(
    st.builds(
        TrainerOptions,
        dropout=st.floats(0, 0.99),
        learning_rate=st.floats(1e-12, 1e6),
        l2=st.floats(0, 1e6),
        epochs=st.integers(1, 10**9),
        seed=st.integers(0, 2**32 - 1),
        weights=st.text(max_size=20),
        backbone_args=st.dictionaries(
            st.text(max_size=5), st.floats(allow_nan=False, allow_infinity=False) | st.booleans() | st.text(max_size=5)
        ),
    )
)
def test_no_value_is_lost_or_changed_on_the_way_to_a_stage(options):
    assert TrainerOptions.from_json(options.to_json()) == options
