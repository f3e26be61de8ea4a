"""`graft check`: what it counts, what it prints, and that it changes nothing."""

import io
import json

import numpy as np
import pytest
from rich.console import Console
from typer.testing import CliRunner

from components.errors import InputError
from components.images.findings import FLAGS
from components.options.data import DataOptions
from pipeline.check import as_json, check_data, print_report
from pipeline.cli import app
from tests import pictures

KEYS = {"found", "ignored", "examples", "quarantined", "duplicates", "conflicts", "leakage", "formats", "fingerprint"}


@pytest.fixture
def tree(tmp_path):
    """Split folders with one of everything."""
    folders = {f"{side}/{label}": 6 for side in ("train", "val") for label in ("cats", "dogs")}
    root = pictures.write_tree(tmp_path / "data", folders)
    pictures.write(root / "train" / "cats" / "copy.png", (root / "train" / "cats" / "001.png").read_bytes())
    pictures.write(root / "train" / "dogs" / "conflict.png", (root / "train" / "cats" / "002.png").read_bytes())
    pictures.write(root / "train" / "dogs" / "leak.png", (root / "val" / "dogs" / "003.png").read_bytes())
    pictures.write(root / "val" / "cats" / "cut [1].jpg", pictures.encode(pictures.noise(), "jpeg")[:-200])
    pictures.write(root / "val" / "cats" / "photo.webp", pictures.encode(pictures.noise(seed=7), "webp"))
    pictures.write(root / "val" / "cats" / ".DS_Store", b"x")
    pictures.write(root / "readme.txt", b"about")
    return root


def check(root, **options):
    return check_data(DataOptions(path=str(root), **options), None, lambda done, total: None)


def files_below(root):
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_the_json_holds_the_contract_and_adds_up(tree):
    found = as_json(check(tree))
    assert set(found) >= KEYS
    assert found["found"] == len(files_below(tree)) == 31
    examples = sum(count for side in found["examples"].values() for count in side.values())
    assert found["found"] == found["ignored"] + examples + len(found["quarantined"])
    assert found["examples"] == {"train": {"cats": 5, "dogs": 6}, "eval": {"cats": 7, "dogs": 6}}
    assert {(row["path"], row["reason"]) for row in found["quarantined"]} == {
        ("train/cats/copy.png", "duplicate_of"),
        ("train/cats/002.png", "conflicting_label"),
        ("train/dogs/conflict.png", "conflicting_label"),
        ("train/dogs/leak.png", "duplicate_of"),
        ("val/cats/cut [1].jpg", "truncated"),
    }
    assert all(row["detail"] for row in found["quarantined"])
    assert found["duplicates"] == [
        ["train/cats/001.png", "train/cats/copy.png"],
        ["train/dogs/leak.png", "val/dogs/003.png"],
    ]
    assert found["conflicts"] == [["train/cats/002.png", "train/dogs/conflict.png"]]
    assert found["leakage"] == [["val/dogs/003.png", "train/dogs/leak.png"]]
    assert found["formats"] == {"png": 23, "webp": 1}
    assert len(found["fingerprint"]) == 64
    assert found["verdict"] == "refused"


def test_how_the_folders_were_understood_is_said(tree, tmp_path):
    said = "the class is the folder below the splits: 2 classes, 'cats', 'dogs'; 'train': train, 'val': eval"
    checked = check(tree)
    assert as_json(checked)["notes"] == checked.scan.dataset["notes"] == [said]
    assert said in printed(checked)


@pytest.mark.parametrize("arguments", [[], ["--json"], ["--strict"]])
def test_folders_that_may_mean_several_things_are_asked_about_and_an_answer_is_taken(tmp_path, arguments):
    root = pictures.write_tree(tmp_path, {"train": 20, "car": 20, "plane": 20})
    asked = invoke(root, *arguments)
    assert isinstance(asked.exception, InputError)  # exit code 2
    assert "--set data.layout=class_folders  3 classes, 'car', 'plane', 'train'" in str(asked.exception)
    assert invoke(root, *arguments, "--set", "data.layout=class_folders").exit_code == 0


def test_nothing_is_changed(tree, tmp_path):
    before = files_below(tmp_path)
    check(tree)
    assert files_below(tmp_path) == before


def test_a_higher_limit_accepts_the_same_data(tree):
    assert check(tree, max_bad_fraction=0.5).verdict == "accepted"


def test_a_class_on_one_side_only_is_unusable(tmp_path):
    checked = check(pictures.write_tree(tmp_path, {"cats": 1, "dogs": 30}))
    assert checked.verdict == "unusable"
    assert "class 'cats' has no image on the" in checked.reasons[0]


def test_the_sample_can_be_checked():
    found = as_json(check("sample:digits"))
    assert found["found"] == sum(sum(side.values()) for side in found["examples"].values()) == 896


def test_there_must_be_data():
    with pytest.raises(InputError, match="no data is given"):
        check_data(DataOptions(), None, lambda done, total: None)


def printed(checked, width=80):
    console = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    print_report(console, checked)
    return console.file.getvalue()


def test_the_report_names_what_it_counts(tree):
    text = printed(check(tree))
    words = " ".join(text.split())
    assert "31 files, split folders in a folder" in words
    assert "cats 5 7 3" not in words
    assert "formats png 23, webp 1" in words
    assert "width 20 to 20 (median 20), height 16 to 16 (median 16)" in words
    assert "truncated val/cats/cut [1].jpg: " in words
    assert "duplicates: 2 groups train/cats/001.png = train/cats/copy.png" in words
    assert "leakage: 1 group val/dogs/003.png = train/dogs/leak.png" in words
    assert "near-duplicates: none" in words
    assert "A run would stop here: the data is refused." in words
    assert "data.max_bad_fraction" in words


def test_each_flag_is_explained_and_flat_images_are_named(tmp_path):
    root = pictures.write_tree(tmp_path, {"cats": 30, "dogs": 30})
    for orientation in (3, 6):
        content = pictures.oriented(pictures.smooth(seed=orientation), "jpeg", orientation)
        pictures.write(root / "cats" / f"turned{orientation}.jpg", content)
    for number in range(3):
        pictures.write(root / "dogs" / f"black{number}.png", pictures.encode(np.zeros([16 + number, 20, 3], np.uint8)))
    checked = check(root)
    words = " ".join(printed(checked).split())
    assert "flags flat 3, rotated 2" in words
    assert f"rotated: {FLAGS['rotated']}" in words
    assert f"flat: {FLAGS['flat']}" in words
    assert "flat: dogs/black0.png, dogs/black1.png, dogs/black2.png" in words
    assert checked.verdict == "refused"
    assert "class 'dogs': 3 of 33 images are black or white all over (9.0909 %)" in words
    assert as_json(checked)["flat"] == [f"dogs/black{number}.png" for number in range(3)]
    assert check(root, max_flat_fraction=0.1).verdict == "accepted"


def test_long_lists_are_cut(tmp_path):
    root = pictures.write_tree(tmp_path, {"cats": 20, "dogs": 20})
    for index in range(13):
        pictures.write(root / "cats" / f"empty{index:02d}.png", b"")
    text = printed(check(root))
    assert text.count("0 bytes") <= 20
    assert "... and 3 more; --json has all" in text


def invoke(*arguments):
    return CliRunner().invoke(app, ["check", *map(str, arguments)])


def test_the_command_prints_json_alone_on_standard_output(tree):
    done = invoke(tree, "--json")
    assert done.exit_code == 0
    assert json.loads(done.stdout)["found"] == 31


@pytest.mark.parametrize(("settings", "code"), [([], 3), (["--set", "data.max_bad_fraction=0.9"], 0)])
def test_strict_has_the_exit_code_of_a_run(tree, settings, code):
    assert invoke(tree, "--strict", *settings).exit_code == code


def test_a_configuration_can_be_checked(tree, tmp_path):
    config = pictures.write(tmp_path / "my.yaml", f"name: mine\ndata: {{path: {tree}, eval_fraction: 0.3}}\n".encode())
    done = invoke(config, "--json")
    assert done.exit_code == 0, done.exception
    assert json.loads(done.stdout)["layout"] == "split_folders"


def test_images_keep_the_side_that_an_earlier_run_gave_them(tmp_path):
    from components.example_gen.history import open_history

    root = pictures.write_tree(tmp_path / "data", {"cats": 20, "dogs": 20})
    options = DataOptions(path=str(root))
    before = check_data(options, None, lambda done, total: None)
    moved = next(row for row in before.scan.rows if row.split == "train")
    memory = tmp_path / "data.sqlite"
    with open_history(str(memory)) as known:
        known.keep_sides([(moved.sha256, "eval")], options.eval_fraction)
    after = check_data(options, memory, lambda done, total: None)
    changed = [b.name for a, b in zip(before.scan.rows, after.scan.rows, strict=True) if a.split != b.split]
    assert moved.name in changed
    assert len(changed) == 2  # and one goes to train for it: the class keeps its share


@pytest.mark.parametrize(("images", "classes", "each"), [(6, 60, 1), (10, 5, 2), (2, 3, 1)])
def test_every_class_has_its_share_of_eval_however_small(tmp_path, images, classes, each):
    checked = check(pictures.write_tree(tmp_path, {f"class {number}": images for number in range(classes)}))
    assert (checked.verdict, checked.warnings) == ("accepted", [])
    assert set(checked.scan.dataset["per_class"]["eval"].values()) == {each}


def write_groups(root, sizes, **options):
    """A manifest of two classes, each with groups of these sizes; what a check finds."""
    lines = ["path,label,group"]
    for label in ("cats", "dogs"):
        names = [(f"{label}/{group}-{image}.png", group) for group, size in enumerate(sizes) for image in range(size)]
        for name, group in names:
            pictures.write(root / name, pictures.encode(pictures.noise(seed=len(lines)), "png"))
            lines.append(f"{name},{label},{label} {group}")
    (root / "manifest.csv").write_text("\n".join(lines))
    return check(root, **options)


def test_groups_of_ten_give_eval_its_share(tmp_path):
    checked = write_groups(tmp_path, [10] * 20)
    assert (checked.verdict, checked.warnings) == ("accepted", [])
    assert checked.scan.dataset["per_class"]["eval"] == {"cats": 40, "dogs": 40}


def test_a_share_that_large_groups_keep_from_being_right_warns_and_is_accepted(tmp_path):
    checked = write_groups(tmp_path, [5, 5])
    assert checked.verdict == "accepted"
    assert as_json(checked)["warnings"] == checked.warnings
    assert [warning.split(": ")[0] for warning in checked.warnings] == ["all classes", "class 'cats'", "class 'dogs'"]
    text = " ".join(printed(checked).split())
    assert "warning class 'cats': 50 % of 10 images are on the eval side, 20 % were asked for" in text
    assert "A run would go on with this data." in text


def test_a_class_of_one_group_says_so_once(tmp_path):
    checked = write_groups(tmp_path, [6])
    assert checked.verdict == "unusable"
    assert "they are one unit that is never parted" in checked.reasons[1]
    assert printed(checked).count("class 'cats': 0 % of 6 images") == 1
