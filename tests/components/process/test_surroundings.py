"""What a user's files and shell say of TensorFlow, Keras and NumPy changes nothing."""

import json
import os
import subprocess
import sys

import pytest

from components.errors import InputError
from components.process import surroundings
from pipeline.fingerprint import ROOT

KERAS = (
    "from keras import config\n"
    "print(config.floatx(), config.epsilon(), config.backend(), config.image_data_format(), config.dtype_policy().name)"
)
VARIABLES = "import os; print(sorted(os.environ.items()))"
DECIDED = "float32 1e-07 tensorflow channels_last float32"


def tell(tmp_path, imports, program=KERAS, **variables):
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "TF_CPP_MIN_LOG_LEVEL": "3", **variables}
    command = [sys.executable, "-c", f"{imports}\n{program}"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    return done.stdout.strip() or done.stderr.strip().splitlines()[-1]


@pytest.fixture
def hostile(tmp_path):
    said = {"floatx": "float16", "epsilon": 0.5, "backend": "torch", "image_data_format": "channels_first"}
    for folder in (tmp_path / ".keras", tmp_path / "own"):
        folder.mkdir()
        (folder / "keras.json").write_text(json.dumps(said))
    return tmp_path


def test_the_file_of_keras_is_not_read(hostile):
    """Whichever package is imported first, and whether a user names a folder: Keras finds the same variables then."""
    own = {"KERAS_HOME": str(hostile / "own"), "KERAS_BACKEND": "torch"}
    assert tell(hostile, "import components", **own) == DECIDED
    for given in ({}, own):
        first, second = (
            tell(hostile, f"import {package}", VARIABLES, **given) for package in ("components", "pipeline")
        )
        assert first == second
        assert f"('KERAS_BACKEND', 'tensorflow'), ('KERAS_HOME', '{os.devnull}')" in first


def test_a_keras_that_was_loaded_before_is_set(environment):
    from keras import config

    try:
        config.set_floatx("float16")
        config.set_dtype_policy("float16")
        config.set_epsilon(0.5)
        config.set_image_data_format("channels_first")
        surroundings.decide()
        found = config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name
        assert found == ("float32", 1e-7, "channels_last", "float32")
    finally:
        config.set_floatx("float32")
        config.set_dtype_policy("float32")
        config.set_epsilon(1e-7)
        config.set_image_data_format("channels_last")


def test_a_keras_with_another_backend_is_refused(monkeypatch):
    class Config:
        backend = staticmethod(lambda: "torch")

    monkeypatch.setitem(sys.modules, "keras", type("keras", (), {"config": Config}))
    with pytest.raises(InputError, match="expected the backend 'tensorflow', found 'torch', which was loaded before"):
        surroundings.decide()


@pytest.fixture
def environment(monkeypatch):
    """Variables of this process, which the test may change."""
    changed = dict(os.environ)
    monkeypatch.setattr(os, "environ", changed)
    for name in [name for name in changed if name.startswith(("KERAS", "GRAFT", "TF_", "XLA"))]:
        del changed[name]
    return changed


@pytest.mark.parametrize(
    "name",
    [
        "KERAS_MAX_EPOCHS",
        "KERAS_NNX_ENABLED",
        "KERASTUNER_TUNER_ID",
        "TF_USE_LEGACY_KERAS",
        "TF_ENABLE_ONEDNN_OPTS",
        "TF_DETERMINISTIC_OPS",
        "TF_XLA_FLAGS",
        "TF_SET_ONEDNN_FPMATH_MODE",
        "TF_AUTO_MIXED_PRECISION_GRAPH_REWRITE_LEVEL",
        "TF2_BEHAVIOR",
        "NVIDIA_TF32_OVERRIDE",
        "ONEDNN_DEFAULT_FPMATH_MODE",
        "NPY_PROMOTION_STATE",
        "NPY_DISABLE_CPU_FEATURES",
        "OPENBLAS_CORETYPE",
        "XLA_FLAGS",
    ],
)
def test_what_decides_a_result_is_no_variable(environment, name):
    environment[name] = "1"
    surroundings.decide()
    assert name not in environment
    assert environment["KERAS_BACKEND"] == "tensorflow"


@pytest.mark.parametrize(
    "name", ["TF_CONFIG", "TF_CPP_MIN_LOG_LEVEL", "TF_FORCE_GPU_ALLOW_GROWTH", "CUDA_VISIBLE_DEVICES", "GRAFT_WEIGHTS"]
)
def test_what_decides_no_result_is_left_alone(environment, name):
    environment[name] = "1"
    surroundings.decide()
    assert environment[name] == "1"


def test_where_the_libraries_of_a_gpu_lie_is_left_alone(environment):
    environment["XLA_FLAGS"] = "--xla_cpu_enable_fast_math=true --xla_gpu_cuda_data_dir=/cuda"
    surroundings.decide()
    assert environment["XLA_FLAGS"] == "--xla_gpu_cuda_data_dir=/cuda"


def test_weights_stay_in_the_folder_of_keras_that_the_user_names(environment):
    environment["KERAS_HOME"] = "/home/me/keras"
    surroundings.decide()
    surroundings.decide()
    assert environment["GRAFT_WEIGHTS"] == "/home/me/keras/models"
    assert environment["KERAS_HOME"] == os.devnull
