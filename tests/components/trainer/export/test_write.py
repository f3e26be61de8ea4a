"""An export is traced once, and later ones get other heads."""

import itertools
import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.frozen import Frozen
from components.trainer.export import write as export_module
from components.trainer.export.export_cache import KeptExport, find_place
from components.trainer.export.write import Graft, export, keep_export
from components.trainer.heads.head import Head
from components.trainer.outliers.typicality import Typicality
from tests.components.trainer.toys import tiny_backbone
from tests.conftest import CLASSES, SIDE

WIDTH = 8


def head_of(seed, units=0, classes=3):
    random = np.random.default_rng(seed)

    def layer(before, after):
        return random.normal(0, 0.05, [before, after]).astype(np.float32), random.normal(0, 1, after).astype(np.float32)

    return Head(*layer(units or WIDTH, classes), hidden=layer(WIDTH, units) if units else None)


@pytest.fixture(scope="module")
def backbone():
    return Frozen.of(tiny_backbone(SIDE, WIDTH))


@pytest.fixture(scope="module")
def writer(backbone, transform):
    """Gives what exports heads into a folder, and keeps exports there."""

    def writer(folder):
        count = itertools.count()

        def write(head, code="c", typicality=None):
            path = folder / f"export-{next(count)}"
            facts = {"classes": CLASSES, "backbone_sha256": backbone.facts.digest, "head_sha256": head.digest()}
            export(
                Graft(backbone, "avg", head, transform, typicality or Typicality.blank(WIDTH)),
                str(path),
                facts,
                AnswerCache(str(folder / "features")),
                code,
            )
            return path

        return write

    return writer


@pytest.fixture(scope="module")
def first(writer, tmp_path_factory):
    """A folder with an export of the first head, and what was kept of it."""
    folder = tmp_path_factory.mktemp("first")
    writer(folder)(head_of(1)).rename(folder / "export")
    return folder


@pytest.fixture
def write(writer, tmp_path):
    """Exports a head; gives the folder. Nothing is kept yet."""
    return writer(tmp_path)


@pytest.fixture
def write_again(writer, first, tmp_path):
    """Exports a head where the first one is kept; gives the folder."""
    shutil.copytree(first / "features", tmp_path / "features")
    return writer(tmp_path)


@pytest.fixture
def traced(monkeypatch):
    """The models that are traced."""
    real, seen = export_module.ServedModel, []

    def model(*arguments):
        seen.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(export_module, "ServedModel", model)
    return seen


def answers(path, images):
    loaded = tf.saved_model.load(str(path))
    return loaded, {
        f"{name}/{key}": value.numpy()
        for name in (features.SERVE_BYTES, features.EXPLAIN, features.EMBED)
        for key, value in loaded.signatures[name](tf.constant(images)).items()
    }


@pytest.mark.parametrize("units", [0, 4])
def test_a_kept_export_with_another_head_is_the_traced_one(write, traced, eval_records, units):
    write(head_of(1, units))
    filled = write(head_of(2, units))
    assert len(traced) == 1
    fresh = write(head_of(2, units), code="")
    assert len(traced) == 2
    loaded, found = answers(filled, eval_records.contents)
    _, expected = answers(fresh, eval_records.contents)
    assert set(loaded.signatures) == {
        *(features.SERVE_BYTES, features.SERVE_EXAMPLES),
        *(features.EMBED, features.EXPLAIN, features.EXPLAIN_CLASS),
    }
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    np.testing.assert_array_equal(loaded.kernel.numpy(), head_of(2, units).kernel)
    assert (
        json.loads((filled / "assets" / features.FACTS_ASSET).read_text())["head_sha256"] == head_of(2, units).digest()
    )
    names = [
        sorted(str(p.relative_to(path)) for path in [folder] for p in folder.rglob("*")) for folder in (filled, fresh)
    ]
    assert names[0] == names[1]
    prints = [tf.saved_model.experimental.read_fingerprint(str(path)) for path in (filled, fresh)]
    assert prints[0].checkpoint_hash != 0
    assert prints[0].signature_def_hash == prints[1].signature_def_hash


def typicality_of(seed, rows, images):
    random = np.random.default_rng(seed)
    train, good = (random.uniform(0, 1, [count, WIDTH]).astype(np.float32) for count in (rows, images))
    return Typicality.of(train, np.arange(rows) % 2, good, 0.05 * seed)


@pytest.mark.parametrize("seed_rows_images", [(2, 9, 30), (3, 40, 12), (2, 5, 0)])
def test_a_kept_export_tells_outliers_by_what_this_run_learned(write, traced, eval_records, seed_rows_images):
    """Other images, more or fewer of them, another promise: nothing of the kept export is left."""
    write(head_of(1), typicality=typicality_of(1, 9, 30))
    filled = write(head_of(1), typicality=typicality_of(*seed_rows_images))
    assert len(traced) == 1
    fresh = write(head_of(1), "", typicality_of(*seed_rows_images))
    loaded, found = answers(filled, eval_records.contents)
    _, expected = answers(fresh, eval_records.contents)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    pooled = found[f"{features.EMBED}/{features.OUTPUT_FEATURES}"]
    np.testing.assert_array_equal(
        found[f"{features.SERVE_BYTES}/{features.OUTPUT_OUTLIER}"], typicality_of(*seed_rows_images).outlier(pooled)
    )
    for name, value in typicality_of(*seed_rows_images).variables().items():
        np.testing.assert_array_equal(getattr(loaded.outliers, name), value)
    held = [dict(tf.train.list_variables(str(path / "variables" / "variables"))) for path in (filled, fresh)]
    assert held[0] == held[1]


@pytest.mark.parametrize("units", [0, 4])
def test_an_export_that_was_kept_with_a_blank_head_is_the_traced_one(
    write, traced, backbone, transform, tmp_path, eval_records, units
):
    blank = Graft(backbone, "avg", Head.blank(WIDTH, units, 3), transform, Typicality.blank(WIDTH))
    facts = {"classes": CLASSES, "backbone_sha256": backbone.facts.digest}
    keep_export(blank, find_place(transform, facts, AnswerCache(str(tmp_path / "features")), "c"))
    told = head_of(2, units), typicality_of(2, 9, 30)
    filled = write(told[0], typicality=told[1])
    assert len(traced) == 1
    loaded, found = answers(filled, eval_records.contents)
    _, expected = answers(write(told[0], "", told[1]), eval_records.contents)
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value)
    np.testing.assert_array_equal(loaded.kernel.numpy(), told[0].kernel)


@pytest.mark.parametrize("error", [OSError(28, "No space left"), tf.errors.ResourceExhaustedError(None, None, "full")])
def test_an_export_that_cannot_be_written_ahead_is_traced_again(
    write, traced, backbone, transform, tmp_path, monkeypatch, caplog, error
):
    def fails(*arguments):
        raise error

    blank = Graft(backbone, "avg", Head.blank(WIDTH, 0, 3), transform, Typicality.blank(WIDTH))
    facts = {"classes": CLASSES, "backbone_sha256": backbone.facts.digest}
    with monkeypatch.context() as broken, caplog.at_level(logging.WARNING, "graft.run"):
        broken.setattr(export_module, "export_model", fails)
        keep_export(blank, find_place(transform, facts, AnswerCache(str(tmp_path / "features")), "c"))
    assert "could not be written ahead, it is traced again" in caplog.text
    assert (write(head_of(2)) / "saved_model.pb").is_file()
    assert len(traced) == 2


def test_what_else_decides_an_export_has_another_place(transform, tmp_path):
    def place(code="c", **facts):
        known = {"classes": CLASSES, "backbone_sha256": "b" * 64, "head_sha256": "h" * 64, "seed": 1, **facts}
        return find_place(transform, known, AnswerCache(str(tmp_path)), code).path

    assert place(head_sha256="f" * 64, seed=2, outliers={"sha256": "e" * 64}) == place()
    others = [place("edited"), place(backbone_sha256="f" * 64), place(classes=["dark", "light", "bright"])]
    assert len({place(), *others}) == 4


def test_without_a_digest_of_the_code_nothing_is_kept(write, traced, tmp_path):
    write(head_of(1), code="")
    assert len(traced) == 1
    assert not list(tmp_path.glob("features/exports/*"))


def test_a_damaged_export_is_traced_again_and_said(write_again, traced, tmp_path, caplog):
    caplog.set_level(logging.WARNING, logger="graft.run")
    (kept,) = tmp_path.glob("features/exports/*.export")
    content = bytearray(kept.read_bytes())
    content[len(content) // 2] ^= 1
    kept.write_bytes(content)
    path = write_again(head_of(2))
    assert len(traced) == 1
    assert "is not usable, the export is traced again" in caplog.text
    np.testing.assert_array_equal(tf.saved_model.load(str(path)).kernel.numpy(), head_of(2).kernel)
    write_again(head_of(3))
    assert len(traced) == 1  # the damaged one was replaced


@pytest.mark.parametrize("length", [0, 1000])
def test_an_export_that_ends_early_is_not_usable(first, tmp_path, caplog, length):
    place = KeptExport(str(tmp_path), {})
    place.keep(str(first / "export"))
    Path(place.path).write_bytes(Path(place.path).read_bytes()[:length])
    assert not place.write_with(head_of(2), Typicality.blank(WIDTH), str(tmp_path / "export"))
    assert not (tmp_path / "export").exists()
    assert "is not usable, the export is traced again" in caplog.text


def test_a_head_of_another_shape_does_not_fit(first, tmp_path, caplog):
    place = KeptExport(str(tmp_path / "other"), {})
    place.keep(str(first / "export"))
    assert place.write_with(head_of(2), Typicality.blank(WIDTH), str(tmp_path / "fits"))
    assert not place.write_with(head_of(2, classes=4), Typicality.blank(WIDTH), str(tmp_path / "wider"))
    assert not place.write_with(head_of(2, units=4), Typicality.blank(WIDTH), str(tmp_path / "deeper"))
    assert not (tmp_path / "wider").exists()
    assert "expected kernel of shape (8, 4), found (8, 3)" in caplog.text


def test_an_export_that_cannot_be_kept_is_written_all_the_same(write, tmp_path, caplog):
    (tmp_path / "features").touch()
    path = write(head_of(1))
    assert (path / "saved_model.pb").is_file()
    assert "could not be kept, the next export is traced again" in caplog.text
    assert Path(tmp_path / "features").is_file()
