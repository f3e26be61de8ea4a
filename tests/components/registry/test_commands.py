"""`graft models` as a user types it."""

import json
import re

import pytest
from typer.testing import CliRunner

from components.errors import InputError
from components.registry import pointer
from pipeline.cli import app


def test_the_list_shows_what_an_operator_needs_in_80_columns(push, serving, graft):
    first, second, third = push("a", 0.95), push("b", 0.96, parent=None), push("c", 0.9)
    graft("rollback", serving)
    code, out = graft("list", serving.parent)
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert rows[0] == ["version", "created", "(UTC)", "accuracy", "data", "parent"]
    assert [row[0] for row in rows[1:]] == [str(third), str(second), str(first)]
    assert rows[1][3:] == ["0.900", "(0.880-0.910)", "dddddddd", "-", "taken", "back"]
    assert rows[2][-1] == "serving"
    assert rows[3][-1] == "previous"
    assert max(map(len, out.splitlines())) <= 80


def test_the_list_as_json(push, serving, graft):
    first, second = push("a", 0.95), push("b", 0.96, parent=1764000000)
    _, out = graft("list", serving, "--json")
    rows = json.loads(out)
    assert [(row["version"], row["state"]) for row in rows] == [(second, "serving"), (first, "previous")]
    assert (rows[0]["accuracy"], rows[0]["interval"], rows[0]["parent"]) == (0.96, [0.94, 0.97], 1764000000)
    assert rows[0]["taken_back"] is None
    graft("rollback", serving)
    taken = json.loads(graft("list", serving, "--json")[1])[0]["taken_back"]
    assert taken["by"] == "rollback"
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", taken["at"])


@pytest.mark.parametrize("form", [(), ("--json",)])
def test_the_list_is_there_when_one_has_to_choose_what_to_serve(push, serving, form):
    number = push("a")
    (serving / pointer.POINTER_FILE).write_text("?")
    done = CliRunner().invoke(app, ["models", "list", str(serving), *form])
    assert str(number) in done.output
    assert "serving" not in done.output.replace(str(serving), "").split()
    assert isinstance(done.exception, InputError)
    assert "graft models promote" in str(done.exception)


def test_the_list_names_damaged_versions_and_the_way_out(push, serving, graft):
    first, second, third = push("a"), push("b"), push("c")
    (serving / str(first) / "passport.json").write_text("{")
    (serving / str(second) / "saved_model.pb").write_bytes(b"x")
    code, out = graft("list", serving)
    assert code == 0
    assert [line.split()[-1] for line in out.splitlines()[1:4]] == ["serving", "DAMAGED", "DAMAGED"]
    assert f"Version {second} is not as it was pushed (changed: saved_model.pb): it cannot be served." in out
    (serving / str(third) / "assets" / "labels.txt").unlink(missing_ok=True)
    (serving / str(third) / "saved_model.pb").write_bytes(b"x")
    with pytest.raises(InputError, match=rf"{third} is not as it was pushed \(changed: saved_model.pb\).\nServe a"):
        graft("list", serving)


def test_a_metric_with_a_floor_has_a_column_and_any_metric_is_in_json_and_in_what_differs(push, serving, graft):
    floor = {"config": {"gates": {"quality": {"min": {"least_recall": 0.8}}}}}
    first, second = push("a", metrics={"least_recall": 0.75}), push("b", metrics={"least_recall": 0.85}, **floor)
    rows = [line.split() for line in graft("list", serving)[1].splitlines()]
    assert rows[0][3:5] == ["accuracy", "least_recall"]
    assert [row[5] for row in rows[1:]] == ["0.850", "0.750"]
    assert json.loads(graft("list", serving, "--json")[1])[0]["metrics"]["least_recall"] == 0.85
    assert re.search(r"least_recall +0.75 -> 0.85  \(\+0.1\)", graft("diff", serving, first, second)[1])


def test_a_rollback_and_a_promotion_say_from_what_to_what(push, serving, graft):
    first, second = push("a"), push("b")
    assert graft("rollback", serving.parent) == (0, f"Served: version {first}, before it {second}\n")
    assert graft("promote", serving.parent, second) == (0, f"Served: version {second}, before it {first}\n")
    assert graft("promote", serving, "served") == (0, f"Version {second} is served already.\n")
    (serving / pointer.POINTER_FILE).write_text("?")
    assert graft("promote", serving, first) == (0, f"Served: version {first}, before it none that is there\n")


def test_a_prune_says_what_goes_and_what_stays_and_why(push, serving, graft):
    numbers = [push(key, accuracy) for key, accuracy in zip("abcd", (0.9, 0.99, 0.9, 0.9), strict=True)]
    code, out = graft("prune", serving, "--keep", "1", "--dry-run")
    assert code == 0
    assert out.splitlines()[:3] == [
        f"{numbers[0]}  would be removed",
        f"{numbers[1]}  stays: it has the best accuracy",
        f"{numbers[2]}  stays: a rollback goes back to it",
    ]
    assert re.fullmatch(r"1 versions \([\d.]+ MB\) would be removed; 3 stay.", out.splitlines()[3])
    assert "2 versions" in graft("prune", serving, "--keep", "1", "--even-best")[1]
    assert graft("prune", serving, "--keep", "0")[0] == 2


def test_the_card_is_printed_as_it_was_pushed(push, serving, graft):
    first, second = push("a"), push("b")
    for arguments, number in (((), second), (("previous",), first)):
        code, out = graft("card", serving.parent, *arguments)
        assert code == 0
        assert out == (serving / str(number) / "MODEL_CARD.md").read_text("utf-8")


def test_a_card_that_was_edited_or_removed_is_not_printed(push, serving, graft):
    path = serving / str(push("a")) / "MODEL_CARD.md"
    path.write_text("a better model")
    with pytest.raises(
        InputError, match=r"MODEL_CARD.md is not the one that was pushed.\n.*card: in the configuration"
    ):
        graft("card", serving)
    path.unlink()
    with pytest.raises(InputError, match=r"MODEL_CARD.md is gone: .*graft models verify"):
        graft("card", serving)


def test_a_version_from_before_cards_is_still_whole_and_says_how_to_get_one(push, serving, graft):
    version = serving / str(push("a"))
    passport = json.loads((version / "passport.json").read_text("utf-8"))
    del passport["files"]["MODEL_CARD.md"], passport["card"]
    (version / "MODEL_CARD.md").unlink()
    (version / "passport.json").write_text(json.dumps(passport), "utf-8")
    (serving / pointer.POINTER_FILE).unlink()
    assert graft("verify", serving)[0] == 0
    with pytest.raises(InputError, match=r"has no MODEL_CARD.md: an older Graft pushed it.*\n.*any option of card:"):
        graft("card", serving)
