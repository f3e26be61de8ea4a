"""Every Beam step of Graft, on a runner whose bundles are lost half-way, and again when they are done: same results.

Steps are found in the sources. A new one that no case here runs makes a test fail.
"""

import ast
import json
import os
import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from apache_beam.options.pipeline_options import StandardOptions
from apache_beam.runners.direct.transform_evaluator import TransformEvaluatorRegistry

from components.contract import features
from components.example_gen import records
from components.registry.find import find_model
from components.trainer.features import beam_pass
from components.trainer.features.beam_pass import BeamPass
from components.trainer.features.data import read_split
from components.trainer.features.feature_pass import FeaturePass, gather_features
from components.trainer.features.folding import fold_backbone
from components.trainer.features.store import FeatureStore
from pipeline.beam import name_runner
from pipeline.predict.distributed import PredictionJob, predict_on_beam
from pipeline.predict.writers import AnswerShape
from pipeline.report.summary import find_artifacts
from pipeline.run import runners
from tests import pictures
from tests.components.evaluator import test_executor as evaluator
from tests.components.evaluator.toys import save_model, write_examples
from tests.components.example_gen import test_ingest as ingest
from tests.components.trainer.toys import tiny_backbone
from tests.conftest import CLASSES, SIDE, picture_of
from tests.pipeline.run import test_runners as small

pytestmark = pytest.mark.slow

INSIDE = {"components.evaluator.batch_metrics._Total"}  # which no step runs: its batches are added in the node
RETRYING = "apache_beam.runners.direct.direct_runner.BundleBasedDirectRunner"
LOST = "this bundle is lost"
ROOT = Path(__file__).parents[2]
FUNCTIONS = (
    "Map",
    "FlatMap",
    "Filter",
    "MapTuple",
    "FlatMapTuple",
    "CombineGlobally",
    "CombinePerKey",
    "CombineValues",
)


@pytest.fixture(scope="module")
def small_pass(strategies, transform, train_records):
    """A pass of small batches through a network of one convolution, and the split that it is for."""
    forward = fold_backbone(tiny_backbone(SIDE).model, "-1..1")
    return FeaturePass(strategies["cpu"], forward, transform, 5), read_split(train_records.pattern)


class Losses:
    """Loses each bundle of each DoFn twice: after half of its elements, and after all of them, just before its commit.

    Attributes:
        steps: names of DoFns, and of functions in `Map`, which lost a bundle that had elements.
    """

    def __init__(self) -> None:
        self.steps = set[str]()
        self._attempts = Counter[tuple[int, int]]()
        self._bundles = list[object]()  # alive, so that no other gets its id
        self._lock = threading.Lock()

    def disturb(self, evaluator, transform, bundle):
        """Makes an evaluator of the runner fail, at a bundle's first and second attempt."""
        if type(evaluator).__name__ != "_ParDoEvaluator":
            return evaluator
        with self._lock:
            self._bundles.append(bundle)
            self._attempts[id(transform), id(bundle)] += 1
            attempt = self._attempts[id(transform), id(bundle)]
        elements = list(bundle.get_elements_iterable()) if bundle else []
        if attempt == 1 and elements:
            _lose_after(evaluator, (len(elements) + 1) // 2)
            self.steps.add(_name_of(transform.transform.fn))
        elif attempt == 2:
            _lose_at_the_end(evaluator)
        return evaluator


def _lose_after(evaluator, limit: int) -> None:
    process, done = evaluator.process_element, [0]

    def lose(element):
        process(element)
        done[0] += 1
        if done[0] == limit:
            raise RuntimeError(LOST)

    evaluator.process_element = lose


def _lose_at_the_end(evaluator) -> None:
    finish = evaluator.finish_bundle

    def lose():
        finish()
        raise RuntimeError(LOST)

    evaluator.finish_bundle = lose


def _name_of(fn) -> str:
    function = getattr(fn, "_fn", None)
    found = getattr(function, "_argspec_fn", function) if callable(function) else type(fn)
    return f"{found.__module__}.{found.__qualname__}"


@pytest.fixture
def losses(monkeypatch):
    """The retrying runner loses bundles, and everything is run by it instead of Beam's usual one."""
    found, get = Losses(), TransformEvaluatorRegistry.get_evaluator

    def get_evaluator(self, applied, bundle, *others):
        return found.disturb(get(self, applied, bundle, *others), applied, bundle)

    monkeypatch.setattr(TransformEvaluatorRegistry, "get_evaluator", get_evaluator)
    return found


def beam_steps(source: Path) -> set[str]:
    """The DoFns and CombineFns of a module, and the functions that it gives to Beam's transforms, by name."""
    module = ".".join(source.relative_to(ROOT).with_suffix("").parts)
    found, places = set[str](), [(ast.parse(source.read_text("utf-8")), "")]
    while places:
        node, inside = places.pop()
        if isinstance(node, ast.ClassDef):
            if any(ast.unparse(base).partition("[")[0].endswith(("DoFn", "CombineFn")) for base in node.bases):
                found.add(f"{module}.{inside}{node.name}")
            inside = f"{inside}{node.name}."
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in {f"beam.{name}" for name in FUNCTIONS}:
            found.add(f"{module}.{ast.unparse(node.args[0])}")  # a lambda has no name that a case could have run
        places += [(child, inside) for child in ast.iter_child_nodes(node)]
    return found


def retrying(monkeypatch, module) -> None:
    """Executors that a test module makes use the runner that loses bundles."""
    monkeypatch.setattr(module, "name_runner", lambda args: [f"--runner={RETRYING}", *args])


def make_records(folder: Path, monkeypatch, losses) -> object:
    """ImageExampleGen; with losses, one image cannot be read for once, in the middle of a shard."""
    if losses:
        retrying(monkeypatch, ingest)
        fail_once(monkeypatch, records, "read_again", 30)
    data = pictures.write_tree(folder / "data", {"cats": 60, "dogs": 39})
    ingest.execute(data, folder)
    return {
        str(path.relative_to(folder)): path.read_bytes() for path in (folder / "examples").rglob("*") if path.is_file()
    }


def fail_once(monkeypatch, module, name: str, calls: int) -> None:
    function, done = getattr(module, name), [0]

    def failing(*args):
        done[0] += 1
        if done[0] == calls:
            raise OSError(LOST)
        return function(*args)

    monkeypatch.setattr(module, name, failing)


def evaluate(folder: Path, monkeypatch, losses) -> object:
    """Evaluator: numbers, verdict, a row an image, and the answers that are kept."""
    if losses:
        retrying(monkeypatch, evaluator)
    examples, candidate = write_examples(folder / "examples", 60), Path(save_model(folder / "a", range(2)).uri)
    metrics, verdict, _ = evaluator.evaluate(folder, examples, candidate, None)
    rows = pq.read_table(folder / "evaluation" / features.OUTCOMES_FILE).to_pylist()
    answers = pq.read_table(folder / "evaluation" / features.ANSWERS_FILE)
    return metrics, verdict["checks"], sorted(rows, key=lambda row: row["name"]), answers.to_pylist()


def predict(form: str):
    """`graft predict --beam`: what it counts, and its rows."""

    def make(folder: Path, monkeypatch, losses) -> object:
        for number in range(9):
            pictures.write(folder / "in" / f"{number}.png", picture_of(number % 3, number))
        pictures.write(folder / "in" / "cut.png", pictures.encode(pictures.noise())[:300])
        model = find_model(str(predict.model))
        runner = (f"--runner={RETRYING}",) if losses else ()
        made = PredictionJob(
            str(model), str(folder / "out"), form, AnswerShape(CLASSES), batch_size=2, beam_args=runner
        )
        monkeypatch.chdir(folder)
        done = predict_on_beam(made, ["in"])
        rows = [row for shard in done.shards for row in read_rows(shard)]
        return (
            done.images,
            done.failed,
            sorted(json.dumps(row) for row in rows),
            len(os.listdir("out")) == len(done.shards),
        )

    return make


def read_rows(shard: str) -> list[dict]:
    if shard.endswith(".parquet"):
        return pq.read_table(shard).to_pylist()
    return [json.loads(line) for line in Path(shard).read_text().splitlines()]


def compute_features(folder: Path, monkeypatch, losses) -> object:
    """The feature pass of the Trainer: the packs in the store, and what is read of them."""
    monkeypatch.setattr(beam_pass, "FEWEST_BATCHES", 1)
    elsewhere = BeamPass([f"--runner={RETRYING}"] if losses else name_runner([]))
    local, split = compute_features.given
    store = FeatureStore(str(folder / "features"), {"backbone": "x"})
    found = gather_features(replace(local, elsewhere=elsewhere), split, store)
    packs = {path.name: path.read_bytes() for path in Path(store.folder).glob("*.parquet")}
    return found.values.tobytes(), found.computed, packs, not list(Path(store.folder).glob("*.partial"))


def run_dag(folder: Path, monkeypatch, losses) -> object:
    """TFX's nodes as Beam steps: what a node did is found again when it is asked twice."""
    if losses:
        monkeypatch.setattr(StandardOptions, "DEFAULT_RUNNER", RETRYING)
        monkeypatch.setattr(runners, "make_in_process_default", lambda: None)
    trace, _ = small.run_in(folder)("beam")
    found = find_artifacts(folder / "metadata.sqlite", trace.executions)
    return trace.error, found["Sink"]["schema"].custom_properties["read"].string_value


CASES = {
    "ingest": make_records,
    "evaluate": evaluate,
    "predict jsonl": predict("jsonl"),
    "predict parquet": predict("parquet"),
    "features": compute_features,
    "dag": run_dag,
}
ran, disturbed = set[str](), set[str]()


@pytest.mark.parametrize("case", CASES)
def test_lost_bundles_change_nothing(case, losses, tmp_path, monkeypatch, pushed, small_pass):
    predict.model, compute_features.given = pushed, small_pass
    results = []
    for name, found in (("calm", None), ("lossy", losses)):
        with monkeypatch.context() as patch:
            results.append(CASES[case](tmp_path / name, patch, found))
    assert losses.steps
    assert results[0] == results[1]
    ran.add(case)
    disturbed.update(losses.steps)


def test_every_step_of_ours_lost_a_bundle():
    if ran != set(CASES):
        pytest.skip("not all cases were run, or one failed")
    sources = [path for package in ("components", "pipeline") for path in (ROOT / package).rglob("*.py")]
    steps = set[str]().union(*map(beam_steps, sources))
    assert {"components.example_gen.records.WriteShards", "components.evaluator.analysis.AskModels"} <= steps
    assert steps - disturbed == INSIDE
