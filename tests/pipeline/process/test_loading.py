"""Loading large packages in less time."""

import gc
import importlib
import subprocess
import sys

import pytest

from pipeline.process.loading import loading, without


def test_the_collector_rests_while_modules_load_and_knows_nothing_of_them_later():
    try:
        with loading():
            assert not gc.isenabled()
            loaded = [[] for _ in range(10)]
        assert gc.isenabled()
        assert gc.get_freeze_count() >= len(loaded)
        assert not any(entry is loaded for entry in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with loading():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()


@pytest.fixture
def package(tmp_path, monkeypatch):
    folder = tmp_path / "toybox"
    folder.mkdir()
    (folder / "__init__.py").write_text("from toybox.costly import PRICE\n")
    (folder / "costly.py").write_text("PRICE = 7\n")
    (folder / "cheap.py").write_text("NAME = 'cheap'\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    yield "toybox"
    for name in [name for name in sys.modules if name.partition(".")[0] == "toybox"]:
        del sys.modules[name]


def test_packages_are_hidden_only_meanwhile(package):
    with without(package), pytest.raises(ModuleNotFoundError, match="toybox is not looked for while others load"):
        importlib.import_module(package)
    assert importlib.import_module(package).PRICE == 7
    with without(package):  # loaded already: nothing to spare
        assert importlib.import_module("toybox.cheap").NAME == "cheap"


def test_a_run_loads_no_plots_and_all_that_the_evaluator_needs():
    script = (
        "import sys\nfrom pipeline.config.configuration import Config\nfrom pipeline.run.run import load_ahead\n"
        "load_ahead(Config())\n"
        "import tensorflow_model_analysis as tfma\n"
        "assert callable(tfma.default_eval_shared_model)\n"  # TFMA loads itself in part where a package is missing
        "print([name for name in ('matplotlib', 'sklearn') if name in sys.modules])\n"
        "import matplotlib, sklearn\n"  # hidden only meanwhile
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_only_runs_models_loads_tensorflow_without_keras():
    script = (
        "import gc, sys\nfrom pipeline.process.loading import load_tensorflow\ntf = load_tensorflow()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000\n"
        "assert not any(name.startswith('keras.src') for name in sys.modules)\n"
        "assert load_tensorflow() is tf\n"
        "print(tf.keras.layers.Dense(3)(tf.ones([2, 5])).shape)\n"  # it comes when it is touched
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "(2, 3)\n"
