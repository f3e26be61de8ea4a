"""Whether a version is what was pushed, byte for byte."""

import json

import pytest

from components import pointer, versions
from pipeline.models.verify import Report, verify_version


def damage(folder, how):
    weights = folder / "variables" / "variables.index"
    if how == "missing":
        weights.unlink()
    elif how == "changed":
        content = bytearray(weights.read_bytes())
        content[0] ^= 1
        weights.write_bytes(content)
    else:
        (folder / "assets" / "extra.bin").touch()


def test_a_version_as_it_was_pushed_is_clean(push, serving):
    number = push("a")
    assert verify_version(serving, number) == Report(number, files=7)
    assert verify_version(serving, number).clean


@pytest.mark.parametrize(
    ("how", "name"),
    [
        ("missing", "variables/variables.index"),
        ("changed", "variables/variables.index"),
        ("extra", "assets/extra.bin"),
    ],
)
def test_every_damage_is_named(push, serving, graft, how, name):
    number = push("a")
    damage(serving / str(number), how)
    report = verify_version(serving, number)
    assert not report.clean
    assert getattr(report, how) == [name]
    code, out = graft("verify", serving)
    assert code == 3
    assert f"{number}  NOT AS IT WAS PUSHED, 7 files\n  {how:<8} {name}\n" in out


def test_a_passport_that_was_edited_is_found(push, serving):
    number = push("a")
    path = serving / str(number) / versions.PASSPORT_FILE
    passport = json.loads(path.read_text())
    passport["metrics"]["accuracy"] = 1.0
    path.write_text(json.dumps(passport))
    assert verify_version(serving, number).reasons == ["passport.json is not the one that was pushed"]
    path.write_text("{")
    assert "found damaged content" in verify_version(serving, number).reasons[0]


def test_a_version_of_others_cannot_be_verified(push, serving):
    number = push("a")
    (serving / str(number) / versions.PASSPORT_FILE).unlink()
    assert verify_version(serving, number).reasons == [
        "its passport holds no digests of files: Graft did not push it, or an older one"
    ]


def test_a_damaged_pointer_is_no_fault_of_a_version(push, serving):
    number = push("a")
    (serving / pointer.POINTER_FILE).write_text("?")
    assert verify_version(serving, number).clean


def test_all_versions_are_verified_where_none_is_named(push, serving, graft):
    first, second = push("a"), push("b")
    assert graft("verify", serving.parent) == (0, f"{first}  clean, 7 files\n{second}  clean, 7 files\n")
    damage(serving / str(first), "changed")
    assert graft("verify", serving, "served")[0] == 0
    code, out = graft("verify", serving, "--json")
    assert code == 3
    assert [(row["version"], row["clean"], row["changed"]) for row in json.loads(out)] == [
        (first, False, ["variables/variables.index"]),
        (second, True, []),
    ]
