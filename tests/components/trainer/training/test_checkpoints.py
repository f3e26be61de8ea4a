"""A training that was killed goes on as if nothing had happened, and trusts nothing that is damaged."""

import hashlib
import io
import json
import logging
import multiprocessing
import os
import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from components.files.digests import seal
from components.trainer.heads.head import train_head
from components.trainer.training.checkpoints import Checkpoints, TrainingState, digest_training, remove_checkpoints
from components.trainer.training.step import AdamState
from tests.components.trainer.toys import exact_ops, toy, toy_options, train_toy

pytestmark = pytest.mark.slow


def reached(epoch=1, loss=0.5):
    draw = np.random.default_rng(epoch)
    adam = AdamState(*(draw.normal(size=7) * 1e-300 for _ in range(3)))
    return TrainingState(adam, epoch, adam.params + 1, {"loss": [loss / 3] * epoch, "val_loss": [np.pi] * epoch})


def same(first, second):
    arrays = zip([*first.adam, first.best], [*second.adam, second.best], strict=True)
    return all(a.tobytes() == b.tobytes() for a, b in arrays) and (first.epoch, first.history) == (
        second.epoch,
        second.history,
    )


@pytest.fixture
def kept(tmp_path):
    return Checkpoints(str(tmp_path / "kept"), "head")


def names(kept):
    return sorted(path.name for path in Path(kept.folder).iterdir())


def test_what_is_saved_is_loaded_bit_for_bit(kept):
    assert kept.load() is None
    kept.save(reached(3))
    assert same(kept.load(), reached(3))


def test_the_last_two_are_kept(kept):
    for epoch in (1, 2, 9, 10, 11):
        kept.save(reached(epoch))
    assert names(kept) == ["epoch-000010.ckpt", "epoch-000011.ckpt"]
    assert kept.load().epoch == 11


def flip(content):
    return content[:200] + bytes([content[200] ^ 1]) + content[201:]


DAMAGE = {
    "a flipped bit": flip,
    "cut short": lambda content: content[:-10],
    "empty": lambda content: b"",
    "garbage": lambda content: bytes(range(256)) * 4,
    "another layout under a true sha256": lambda content: seal(b"PK not an archive of ours"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_used(kept, damage, caplog):
    caplog.set_level(logging.INFO)
    kept.save(reached(1))
    kept.save(reached(2))
    path = Path(kept.folder) / "epoch-000002.ckpt"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    assert same(kept.load(), reached(1))
    assert names(kept)[0] == "epoch-000001.ckpt"
    assert names(kept)[1].startswith("epoch-000002.ckpt.corrupt-")
    told = {record.name: record for record in caplog.records}
    assert told["graft.progress"].getMessage() == "head: checkpoint epoch-000002.ckpt is damaged, going back one"
    assert told["graft.run"].levelno == logging.WARNING
    assert "the one before is used" in told["graft.run"].getMessage()
    kept.save(reached(2))
    assert same(kept.load(), reached(2))


def test_when_all_are_damaged_it_starts_from_scratch(kept):
    for epoch in (1, 2):
        kept.save(reached(epoch))
        (Path(kept.folder) / f"epoch-00000{epoch}.ckpt").write_bytes(b"")
    assert kept.load() is None
    assert all(".corrupt-" in name for name in names(kept))


def test_half_a_file_of_a_killed_writer_is_never_read(kept):
    kept.save(reached(1))
    half = Path(kept.folder) / "epoch-000002.ckpt.77.partial"
    half.write_bytes(seal(reached(2).to_bytes())[:100])
    assert kept.load().epoch == 1
    assert not half.exists()


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(kept, monkeypatch, caplog):
    kept.save(reached(1))

    def refuse(*_, **__):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "replace", refuse)
    kept.save(reached(2))
    assert "could not be written, training goes on without it: No space left on device" in caplog.text
    monkeypatch.undo()
    assert kept.load().epoch == 1


def test_the_digest_follows_all_that_decides():
    values, labels, held = np.zeros([2, 3], np.float32), np.array([0, 1]), np.array([True, False])
    digests = [
        digest_training(values, labels, held, "a"),
        digest_training(values + 1, labels, held, "a"),
        digest_training(values.reshape(3, 2), labels, held, "a"),
        digest_training(values, labels[::-1], held, "a"),
        digest_training(values, labels, ~held, "a"),
        digest_training(values, labels, held, "b"),
    ]
    assert len(set(digests)) == len(digests)
    assert digest_training(values.copy(), labels, held, "a") == digests[0]


def test_a_checkpoint_of_an_earlier_version_is_read(kept):
    """The layout of the file, written out here: a run that an earlier version began goes on."""
    facts = {"epoch": 3, "step": 2, "sums": [0.5, 7.0], "scale": [32768.0, 4], "history": {"loss": [0.1, 0.2, 0.3]}}
    arrays = {name: np.arange(7.0) + number for number, name in enumerate(("best", "params", "mean", "square"))}
    buffer = io.BytesIO()
    np.savez(buffer, facts=np.frombuffer(json.dumps(facts).encode(), np.uint8), **arrays)
    Path(kept.folder).mkdir()
    content = buffer.getvalue()
    path = Path(kept.folder) / "epoch-000003-step-000002.ckpt"
    path.write_bytes(hashlib.sha256(content).hexdigest().encode() + b"\n" + content)
    found = kept.load()
    assert (found.epoch, found.step, found.sums, found.loss_scale) == (3, 2, (0.5, 7.0), (32768.0, 4))
    assert found.history == facts["history"]
    for name, array in zip(arrays, [found.best, *found.adam], strict=True):
        np.testing.assert_array_equal(array, arrays[name])


class StopError(Exception):
    """The run ends here."""


@pytest.fixture
def train(strategies, tmp_path, monkeypatch):
    """Trains with checkpoints; `stop_after` breaks off in that epoch's save, after it is written."""

    def call(stop_after=None, seed=0, folder=tmp_path / "checkpoints", **options):
        if stop_after:
            save = Checkpoints.save

            def stop(self, state):
                save(self, state)
                if state.epoch == stop_after:
                    raise StopError

            monkeypatch.setattr(Checkpoints, "save", stop)
        values, split = toy(seed=seed, noise=1.5)
        try:
            return train_head(strategies["cpu"], values, split, 3, toy_options(**options), "", str(folder or ""))[0]
        finally:
            monkeypatch.undo()

    return call


@pytest.mark.parametrize(
    "options", [{"epochs": 4, "hidden_units": 4}, {"epochs": 30, "early_stopping_patience": 2, "learning_rate": 0.3}]
)
def test_a_training_that_was_broken_off_ends_as_the_unbroken_one(train, options, caplog):
    caplog.set_level(logging.INFO, logger="graft.progress")
    unbroken = train(folder=None, **options)
    for epoch in (1, 2):
        with pytest.raises(StopError):
            train(stop_after=epoch, **options)
    caplog.clear()
    resumed = train(**options)
    assert caplog.messages[0] == "head: going on after epoch 2, from a checkpoint"
    assert caplog.messages[1].startswith("head: epoch 3 of")
    assert (resumed.digest(), resumed.history) == (unbroken.digest(), unbroken.history)


def test_only_the_same_training_is_not_repeated(train, caplog, tmp_path):
    """Other data or options start from scratch; what is kept goes when the caller says so."""
    first = train(epochs=1)
    caplog.set_level(logging.INFO, logger="graft.progress")
    caplog.clear()
    again = train(epochs=1)
    assert caplog.messages == ["head: going on after epoch 1, from a checkpoint"]
    assert (first.digest(), first.history) == (again.digest(), again.history)
    for other in ({"seed": 1}, {"learning_rate": 0.04}):
        caplog.clear()
        train(**{"epochs": 1, **other})
        assert caplog.messages[0].startswith("head: epoch 1 of 1"), other
    assert list((tmp_path / "checkpoints").rglob("*.ckpt"))
    remove_checkpoints(str(tmp_path / "checkpoints"))
    assert not (tmp_path / "checkpoints").exists()
    remove_checkpoints(str(tmp_path / "checkpoints"))


EPOCHS, KILLS = 100, 2


PROBLEM = {"count": 400, "width": 64, "noise": 3.0}
OPTIONS = {"devices": "cpu", "epochs": EPOCHS, "early_stopping_patience": 0, "batch_size": 10}


def train_in_process(folder):
    train_toy({"problem": PROBLEM, "options": OPTIONS, "logs": "", "checkpoints": folder, "repeat": True})


def newest_epoch(folder):
    return max((int(path.stem[6:]) for path in Path(folder).rglob("epoch-*.ckpt")), default=0)


def test_kills_at_random_moments_change_nothing(strategies, tmp_path):
    """Processes are forked from one that has loaded TensorFlow but not used it, which saves ten times its import."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["components.trainer.heads.head", "tests.components.trainer.training.test_checkpoints"]
    )
    draw, folder, killed_at = random.Random(5), str(tmp_path / "checkpoints"), []
    for kill in range(1, KILLS + 1):
        process = context.Process(target=train_in_process, args=(folder,))
        process.start()
        wanted = kill * EPOCHS // (KILLS + 2) + draw.randrange(EPOCHS // (KILLS + 2) // 2)
        while newest_epoch(folder) < wanted and process.is_alive():
            time.sleep(0.001)
        time.sleep(draw.random() * 0.01)
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        killed_at.append(newest_epoch(folder))
    values, split = toy(**PROBLEM)
    with exact_ops():
        unbroken, resumed = (
            train_head(strategies["cpu"], values, split, 3, toy_options(**OPTIONS), "", checkpoints)[0]
            for checkpoints in ("", folder)
        )
    assert (resumed.digest(), resumed.history) == (unbroken.digest(), unbroken.history)
    assert 0 < killed_at[0] < killed_at[1] < EPOCHS
