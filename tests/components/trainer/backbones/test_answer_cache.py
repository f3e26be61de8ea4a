"""What was found out once is not found out again, unless the question or the library is another."""

import logging
from pathlib import Path

import pytest

from components.trainer.backbones import answer_cache
from components.trainer.backbones.answer_cache import AnswerCache


@pytest.fixture
def count():
    """Finds out what is asked and counts."""

    def find_out():
        find_out.times += 1
        return {"answer": [1, "two"], "times": find_out.times}

    find_out.times = 0
    return find_out


def test_a_question_is_answered_once(tmp_path, count):
    for _ in range(3):
        assert AnswerCache(str(tmp_path)).recall({"what": "x", "size": [1, 2]}, count) == {
            "answer": [1, "two"],
            "times": 1,
        }
    assert AnswerCache(str(tmp_path)).recall({"what": "x", "size": [1, 3]}, count)["times"] == 2
    assert AnswerCache(str(tmp_path)).recall({"size": [1, 2], "what": "x"}, count)["times"] == 1


def test_another_library_is_another_question(tmp_path, count, monkeypatch):
    AnswerCache(str(tmp_path)).recall({"what": "x"}, count)
    for module in ("tensorflow", "keras"):
        with monkeypatch.context() as patch:
            patch.setattr(f"{module}.__version__", "99")
            AnswerCache(str(tmp_path)).recall({"what": "x"}, count)
    assert count.times == 3


@pytest.mark.parametrize("spoil", [b"", b"nonsense", b'0\n{"answer": 1}'])
def test_a_damaged_answer_is_found_out_again(tmp_path, count, spoil):
    AnswerCache(str(tmp_path)).recall({"what": "x"}, count)
    (path,) = tmp_path.glob("known/*.json")
    path.write_bytes(spoil)
    assert AnswerCache(str(tmp_path)).recall({"what": "x"}, count)["times"] == 2
    assert AnswerCache(str(tmp_path)).recall({"what": "x"}, count)["times"] == 2


def test_a_flipped_byte_is_damage(tmp_path, count):
    AnswerCache(str(tmp_path)).recall({"what": "x"}, count)
    (path,) = tmp_path.glob("known/*.json")
    path.write_bytes(path.read_bytes().replace(b"two", b"too"))
    assert AnswerCache(str(tmp_path)).recall({"what": "x"}, count) == {"answer": [1, "two"], "times": 2}


def test_without_a_folder_nothing_is_kept(tmp_path, count, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [AnswerCache().recall({"what": "x"}, count)["times"] for _ in range(2)] == [1, 2]
    assert not list(tmp_path.iterdir())


def test_only_the_chief_keeps(tmp_path, count, monkeypatch):
    monkeypatch.setattr(answer_cache, "is_chief", lambda: False)
    assert [AnswerCache(str(tmp_path)).recall({"what": "x"}, count)["times"] for _ in range(2)] == [1, 2]


def test_a_folder_that_cannot_be_written_costs_time_only(tmp_path, count, caplog):
    caplog.set_level(logging.WARNING, logger="graft.run")
    (tmp_path / "file").touch()
    assert AnswerCache(str(tmp_path / "file")).recall({"what": "x"}, count)["times"] == 1
    assert "could not be written, it is found out again next time" in caplog.text
    assert Path(tmp_path / "file").is_file()
