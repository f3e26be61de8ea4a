"""Whether a version is what was pushed, byte for byte."""

import hashlib
import json
import shutil

import pytest

from components.errors import InputError
from components.files.digests import digest_of
from components.registry import pointer, verify, versions
from components.registry.baselines import find_best
from components.registry.verify import Report, verify_version


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
    passport = hashlib.sha256((serving / str(number) / versions.PASSPORT_FILE).read_bytes()).hexdigest()
    assert verify_version(serving, number) == Report(number, files=8, passport_sha256=passport, recorded=True)
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
    assert f"{number}  NOT AS IT WAS PUSHED, 8 files\n  {how:<8} {name}\n" in out


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
    assert verify_version(serving, number).missing == [versions.PASSPORT_FILE]
    (serving / pointer.POINTER_FILE).unlink()
    assert verify_version(serving, number).damage == ""
    assert verify_version(serving, number).reasons == [
        "its passport holds no digests of files: Graft did not push it, or an older one"
    ]


def test_a_damaged_pointer_is_no_fault_of_a_version(push, serving):
    number = push("a")
    (serving / pointer.POINTER_FILE).write_text("?")
    assert verify_version(serving, number).clean


def test_all_versions_are_verified_where_none_is_named(push, serving, graft):
    first, second = push("a"), push("b")
    code, out = graft("verify", serving.parent)
    assert code == 0
    assert out.startswith(f"{first}  clean, 8 files\n  as its passport says, as models.config recorded at the push\n")
    assert f"{second}  clean, 8 files\n" in out
    damage(serving / str(first), "changed")
    assert graft("verify", serving, "served")[0] == 0
    code, out = graft("verify", serving, "--json")
    assert code == 3
    assert [(row["version"], row["clean"], row["changed"]) for row in json.loads(out)] == [
        (first, False, ["variables/variables.index"]),
        (second, True, []),
    ]


def test_verify_says_what_it_cannot_know(push, serving, graft):
    """After files, passport and pointer were edited alike, the folder agrees with itself: only the outside tells."""
    number = push("a")
    folder = serving / str(number)
    before = verify_version(serving, number).passport_sha256
    (folder / "saved_model.pb").write_bytes(b"another graph")
    passport = json.loads((folder / versions.PASSPORT_FILE).read_text())
    passport["files"]["saved_model.pb"] = digest_of(folder / "saved_model.pb")
    (folder / versions.PASSPORT_FILE).write_text(json.dumps(passport))
    after = digest_of(folder / versions.PASSPORT_FILE)
    pointed = serving / pointer.POINTER_FILE
    pointed.write_text(pointed.read_text().replace(before, after))
    code, out = graft("verify", serving)
    assert code == 0
    assert f"  passport {after}\n" in out
    assert "Not signed: this finds damage, not an edit of files, passport and models.config alike." in out
    pointed.unlink()
    assert "as its passport says, which nothing recorded at the push" in graft("verify", serving)[1]


def test_a_damaged_version_is_no_baseline_and_its_accuracy_no_limit(push, serving):
    number = push("a")
    verify.check_baseline(serving, number)
    damage(serving / str(number), "changed")
    with pytest.raises(InputError, match=r"not as it was pushed \(changed: variables/variables.index\): no"):
        verify.check_baseline(serving, number)
    path = serving / str(number) / versions.PASSPORT_FILE
    path.write_text(path.read_text().replace('"accuracy": 0.95', '"accuracy": 0.99'))
    with pytest.raises(InputError, match=r"passport.json is not the one that was pushed: .*\nPut it back, or"):
        find_best(serving)


def test_a_folder_is_checked_wherever_it_lies(push, serving, tmp_path):
    number = push("a")
    copy = shutil.copytree(serving / str(number), tmp_path / "copy")
    verify.check_folder(copy)
    damage(copy, "missing")
    with pytest.raises(InputError, match=r"copy is not as .* \(missing: variables/variables.index\).\nCopy it again"):
        verify.check_folder(copy)


def test_one_line_names_some_of_many_problems(push, serving):
    number = push("a")
    shutil.rmtree(serving / str(number) / "assets")
    shutil.rmtree(serving / str(number) / "variables")
    (serving / str(number) / "new").touch()
    assert verify.find_damage(serving, number).endswith("variables/variables.index, and 1 more")


def test_a_file_that_cannot_be_read_is_changed(push, serving):
    number = push("a")
    weights = serving / str(number) / "variables" / "variables.index"
    weights.unlink()
    weights.symlink_to("nowhere")
    assert verify_version(serving, number).changed == ["variables/variables.index"]
