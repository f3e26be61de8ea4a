"""An export is traced once, and later ones get other heads."""

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from components.contract import features
from components.trainer.backbones.answer_cache import AnswerCache
from components.trainer.backbones.frozen import Frozen
from components.trainer.export import write as export_module
from components.trainer.export.export_cache import KeptExport
from components.trainer.export.write import Graft, export
from components.trainer.heads.head import Head
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


@pytest.fixture
def write(backbone, transform, tmp_path):
    """Exports a head; gives the folder."""

    def write(head, code="c", **facts):
        path = tmp_path / f"export-{write.count}"
        write.count += 1
        known = {"classes": CLASSES, "backbone_sha256": backbone.facts.digest, **facts}
        kept = AnswerCache(str(tmp_path / "features"))
        export(Graft(backbone, "avg", head, transform), str(path), {**known, "head_sha256": head.digest()}, kept, code)
        return path

    write.count = 0
    return write


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
        *(features.EMBED, features.EXPLAIN),
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


def test_what_else_decides_an_export_traces_again(write, traced):
    write(head_of(1))
    write(head_of(1), code="edited")
    write(head_of(1), backbone_sha256="f" * 64)
    write(head_of(1), classes=["dark", "light", "bright"])
    assert len(traced) == 4


def test_without_a_digest_of_the_code_nothing_is_kept(write, traced, tmp_path):
    write(head_of(1), code="")
    write(head_of(1), code="")
    assert len(traced) == 2
    assert not list(tmp_path.glob("features/exports/*"))


@pytest.mark.parametrize("spoil", ["cut", "flipped", "empty"])
def test_a_damaged_export_is_traced_again_and_said(write, traced, tmp_path, caplog, spoil):
    caplog.set_level(logging.WARNING, logger="graft.run")
    write(head_of(1))
    (kept,) = tmp_path.glob("features/exports/*.export")
    content = bytearray(kept.read_bytes())
    middle = len(content) // 2
    content[middle] ^= 1
    kept.write_bytes({"cut": content[:middle], "flipped": content, "empty": b""}[spoil])
    path = write(head_of(2))
    assert len(traced) == 2
    assert "is not usable, the export is traced again" in caplog.text
    np.testing.assert_array_equal(tf.saved_model.load(str(path)).kernel.numpy(), head_of(2).kernel)
    write(head_of(3))
    assert len(traced) == 2  # the damaged one was replaced


def test_a_head_of_another_shape_does_not_fit(write, tmp_path, caplog):
    path = write(head_of(1))
    place = KeptExport(str(tmp_path / "other"), {})
    place.keep(str(path))
    assert place.write_with(head_of(2), str(tmp_path / "fits"))
    assert not place.write_with(head_of(2, classes=4), str(tmp_path / "wider"))
    assert not place.write_with(head_of(2, units=4), str(tmp_path / "deeper"))
    assert not (tmp_path / "wider").exists()
    assert "expected kernel of shape (8, 4), found (8, 3)" in caplog.text


def test_an_export_that_cannot_be_kept_is_written_all_the_same(write, tmp_path, caplog):
    (tmp_path / "features").touch()
    path = write(head_of(1))
    assert (path / "saved_model.pb").is_file()
    assert "could not be kept, the next export is traced again" in caplog.text
    assert Path(tmp_path / "features").is_file()
