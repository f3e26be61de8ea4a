"""Time to load and memory of a process."""

import gc
import subprocess
import sys

from pipeline.process.footprint import loading


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


def test_what_libraries_merely_offer_is_not_loaded_with_them_and_is_there_when_asked_for():
    script = (
        "import sys\nfrom pipeline.process.footprint import OFFERED, loading\n"
        "with loading():\n    import pipeline.dag, pipeline.run.runners\n"
        "print(sorted(OFFERED & set(sys.modules)))\n"
        "import matplotlib.pyplot, sklearn.linear_model\n"
        "print(sorted(OFFERED & set(sys.modules)))\n"
        "import tensorflow_model_analysis as tfma\nprint(tfma.EvalSharedModel.__name__, tfma.view.__name__)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines() == [
        "[]",
        "['matplotlib', 'sklearn']",
        "EvalSharedModel tensorflow_model_analysis.view",
    ]
    assert "is not looked for" not in done.stderr  # each library takes it that something is not there


def test_what_only_runs_models_loads_tensorflow_without_keras():
    script = (
        "import gc, sys\nfrom pipeline.process.footprint import load_tensorflow\ntf = load_tensorflow()\n"
        "assert gc.isenabled() and gc.get_freeze_count() > 100_000\n"
        "assert not any(name.startswith('keras.src') for name in sys.modules)\n"
        "assert load_tensorflow() is tf\n"
        "print(tf.keras.layers.Dense(3)(tf.ones([2, 5])).shape)\n"  # it comes when it is touched
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout == "(2, 3)\n"
