"""Copies, conflicts, leakage and sides, on rows as an inspection leaves them."""

import hashlib
from dataclasses import replace

import pytest

from components.example_gen.comparison import judge_rows
from components.example_gen.history import open_history
from components.example_gen.manifest import Row
from components.options.data import DataOptions

FRACTION = DataOptions().eval_fraction


def digest(start, rest="0"):
    """A digest that begins so."""
    return (start + rest * 64)[:64]


ONE, OTHER = digest("f"), digest("0")


def row(name, sha256, label="cats", split="", group="", picture_hash=""):
    return Row(name, label, split, group, sha256, bytes=1, format="png", height=9, width=9, picture_hash=picture_hash)


def judge(*rows, memory="", **options):
    with open_history(memory) as known:
        return judge_rows(list(rows), DataOptions(**options), known)[0]


def fates(*rows):
    return [(r.reason or r.split, r.detail) for r in rows]


def reasons(*rows):
    return [(r.reason, r.detail) for r in rows]


def test_of_exact_copies_the_first_stays():
    a, b, c = row("a", ONE), row("b", ONE), row("c", digest("f", "1"))
    findings = judge(a, b, c)
    assert reasons(a, b, c) == [("", ""), ("duplicate_of", "a"), ("", "")]
    assert {a.split, c.split} == {"train", "eval"}
    assert findings.duplicates == [["a", "b"]]
    assert findings.conflicts == findings.leakage == findings.near_duplicates == []


def test_copies_can_be_kept():
    a, b = row("a", ONE), row("b", ONE)
    findings = judge(a, b, duplicates="keep")
    assert fates(a, b) == [("train", ""), ("train", "")]
    assert findings.duplicates == [["a", "b"]]


def test_the_same_picture_under_two_classes_is_out_on_both_sides_and_each_names_the_other():
    a, b, c = row("a", OTHER), row("b", OTHER, "dogs"), row("c", OTHER)
    findings = judge(a, b, c)
    assert fates(a, b, c) == [
        ("conflicting_label", "the same picture is under 'dogs': b"),
        ("conflicting_label", "the same picture is under 'cats': a"),
        ("conflicting_label", "the same picture is under 'dogs': b"),
    ]
    assert (findings.conflicts, findings.duplicates) == ([["a", "b", "c"]], [])


def test_conflicts_can_be_kept_then_each_class_keeps_one():
    a, b, c = row("a", OTHER), row("b", OTHER, "dogs"), row("c", OTHER)
    findings = judge(a, b, c, conflicts="keep")
    assert reasons(a, b, c) == [("", ""), ("", ""), ("duplicate_of", "a")]
    assert a.split == b.split
    assert findings.conflicts == [["a", "b", "c"]]


@pytest.mark.parametrize("leakage", ["remove", "report"])
def test_a_copy_across_given_sides_is_leakage_and_leaves_train(leakage):
    a, b, c = row("t/a", ONE, split="train"), row("v/b", ONE, split="eval"), row("t/c", OTHER, split="train")
    findings = judge(a, b, c, leakage=leakage)
    out = ("duplicate_of", "v/b, which is on the eval side (the same bytes)")
    assert fates(a, b, c) == [out if leakage == "remove" else ("train", ""), ("eval", ""), ("train", "")]
    assert findings.leakage == [["v/b", "t/a"]]
    assert findings.duplicates == [["t/a", "v/b"]]


def near(bits):
    """A picture hash that differs from that of `near(0)` in so many bits."""
    return f"{(1 << bits) - 1:064x}"


def test_a_near_copy_across_given_sides_is_leakage_too():
    a, b = row("a", ONE, split="train", picture_hash=near(0)), row("b", OTHER, split="eval", picture_hash=near(3))
    findings = judge(a, b)
    assert fates(a, b)[0] == ("duplicate_of", "b, which is on the eval side (hashes differ in 3 of 256 bits)")
    assert findings.leakage == [["b", "a"]]
    assert findings.near_duplicates == [["a", "b"]]


def test_a_group_on_both_given_sides_is_leakage():
    a, b = row("a", ONE, split="train", group="g"), row("b", OTHER, split="eval", group="g")
    judge(a, b)
    assert fates(a, b)[0] == ("duplicate_of", "b, which is on the eval side (both of group 'g')")


def test_near_copies_and_groups_are_on_one_side_and_the_classes_on_both():
    pairs = [
        (row("a", ONE, picture_hash=near(0)), row("b", OTHER, picture_hash=near(3))),
        (row("c", digest("e"), group="g"), row("d", digest("1"), group="g")),
    ]
    judge(*(member for pair in pairs for member in pair))
    sides = [{member.split for member in pair} for pair in pairs]
    assert sorted(map(sorted, sides)) == [["eval"], ["train"]]


def test_the_distance_decides_what_is_near():
    a, b = row("a", ONE, picture_hash=near(0)), row("b", OTHER, picture_hash=near(3))
    judge(a, b, near_duplicate_distance=2)
    assert {a.split, b.split} == {"train", "eval"}


def groups(sizes, label="cats"):
    """Rows of so many groups, each of the given size."""
    return [
        row(f"{label}/{group}/{member}", sha256(f"{label} {group} {member}"), label, group=f"{label} {group}")
        for group, size in enumerate(sizes)
        for member in range(size)
    ]


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def eval_share(rows):
    return sum(r.split == "eval" for r in rows) / len(rows)


@pytest.mark.parametrize("size", [1, 2, 10, 100])
def test_groups_of_any_size_give_eval_its_share_of_each_class(size):
    cats, dogs = groups([size] * 20), groups([size] * 30, "dogs")
    judge(*cats, *dogs)
    assert (eval_share(cats), eval_share(dogs)) == (0.2, 0.2)
    for name in {r.group for r in cats + dogs}:
        assert len({r.split for r in cats + dogs if r.group == name}) == 1


@pytest.mark.parametrize("size", [2, 10, 30])
def test_so_do_clusters_of_near_duplicates(size):
    rows = groups([size] * 20)
    for r in rows:
        _, cluster, member = r.name.split("/")
        r.group, r.picture_hash = "", f"{int(sha256(cluster), 16) ^ ((1 << int(member)) - 1):064x}"
    assert [len(names) for names in judge(*rows).near_duplicates] == [size] * 20
    assert eval_share(rows) == 0.2


def test_the_split_does_not_depend_on_order_and_names():
    rows = groups([1, 2, 3, 10] * 5) + groups([4] * 10, "dogs")
    judge(*rows)
    others = [replace(r, name=f"elsewhere/{number}", split="") for number, r in enumerate(reversed(rows))]
    judge(*others)
    assert [r.split for r in reversed(others)] == [r.split for r in rows]


def warnings(*rows, **options):
    with open_history("") as known:
        return [(found["class"], found["reason"]) for found in judge_rows(list(rows), DataOptions(**options), known)[1]]


def test_a_share_that_groups_keep_from_being_right_is_told_with_the_largest():
    found = warnings(*groups([5, 5]), *groups([1] * 100, "dogs"))
    assert found == [
        (
            "cats",
            "class 'cats': 50 % of 10 images are on the eval side, 20 % were asked for (data.eval_fraction); they are "
            "2 units that are never parted (a group, copies, near-duplicates), the largest of 5 images (cats/0/0). Add "
            "images of other groups, give each image its split yourself, or lower data.near_duplicate_distance where "
            "these are no near-duplicates",
        )
    ]


def test_a_class_that_is_one_group_is_told():
    ((label, reason),) = warnings(*groups([5]), *groups([1] * 100, "dogs"))
    assert label == "cats"
    assert "0 % of 5 images are on the eval side, 20 % were asked for (data.eval_fraction); they are one unit" in reason


def test_nothing_is_told_of_a_share_that_only_rounding_changes():
    assert warnings(*(r for label in "abc" for r in groups([1, 1], label))) == []


def test_nothing_is_told_of_a_split_that_the_data_gives():
    rows = groups([1] * 10)
    for r in rows:
        r.split = "eval" if r.name < "cats/8" else "train"
    assert warnings(*rows) == []


def grow(memory, *rows):
    with open_history(memory) as known:
        judge_rows(list(rows), DataOptions(near_duplicate_distance=15), known)
        known.keep_sides(((r.sha256, r.split) for r in rows if r.is_example), FRACTION)


def test_a_newcomer_joins_the_side_of_the_old_image_whatever_its_own_digest_says(tmp_path):
    memory = str(tmp_path / "m")
    grow(memory, row("old", ONE, picture_hash=near(0)))
    old, new = row("old", ONE, picture_hash=near(0)), row("new", OTHER, picture_hash=near(3))
    grow(memory, old, new)
    assert (old.split, new.split) == ("train", "train")


def test_a_newcomer_that_joins_two_sides_is_left_out_and_moves_neither(tmp_path):
    memory = str(tmp_path / "m")
    hashes = near(0), near(20), near(10)
    old = [row("a", ONE, picture_hash=hashes[0]), row("b", OTHER, picture_hash=hashes[1])]
    grow(memory, *old)
    before = [r.split for r in old]
    train, evaluation = sorted("ab", key=lambda name: before["ab".index(name)], reverse=True)
    for _ in range(2):  # the answer is the same in every later run
        a, b = row("a", ONE, picture_hash=hashes[0]), row("b", OTHER, picture_hash=hashes[1])
        new = row("c", digest("5"), picture_hash=hashes[2])
        grow(memory, a, b, new)
        assert [a.split, b.split] == before
        detail = f"it joins images of both sides: {train} (train) and {evaluation} (eval)"
        assert fates(new) == [("duplicate_of", detail)]


def test_rejected_and_ignored_rows_are_compared_with_nothing():
    bad, aside, good = row("bad", ONE), row("aside", ONE), row("good", ONE)
    bad.reject("truncated", "cut")
    aside.ignored = "hidden"
    assert judge(bad, aside, good).duplicates == []
    assert fates(bad, good) == [("truncated", "cut"), ("train", "")]


def test_a_grown_set_keeps_its_share_and_an_earlier_state_of_it_comes_out_again(tmp_path):
    """As `graft models reproduce` does it: with the memory of now."""
    memory, sizes, seen = str(tmp_path / "m"), [1, 2, 10, 1, 5], {}
    for count in (15, 30, 60):
        rows = groups([sizes[number % 5] for number in range(count)])
        grow(memory, *rows)
        assert eval_share(rows) == pytest.approx(0.2, abs=0.03)
        seen[count] = [r.split for r in rows]
    assert seen[60][: len(seen[30])] == seen[30]
    assert seen[30][: len(seen[15])] == seen[15]
    for count, sides in seen.items():
        again = groups([sizes[number % 5] for number in range(count)])
        grow(memory, *again)
        assert [r.split for r in again] == sides


def test_sides_that_are_remembered_stay_and_are_told_where_they_decide_the_share(tmp_path):
    memory, rows = str(tmp_path / "m"), groups([1] * 500)
    with open_history(memory) as known:
        known.keep_sides(((r.sha256, "train" if n < 20 else "eval") for n, r in enumerate(rows[:400])), FRACTION)
        _, (everything, cats) = judge_rows(rows, DataOptions(), known)
    assert [r.split for r in rows] == ["train"] * 20 + ["eval"] * 380 + ["train"] * 100
    assert (everything["class"], cats["class"], cats["share"], cats["limit"]) == ("", "cats", 0.76, 0.3)
    assert cats["reason"] == (
        "class 'cats': 76 % of 500 images are on the eval side, 20 % were asked for (data.eval_fraction); 400 of them "
        "keep the side of an earlier run, 380 on eval. New images go to the other side until it fits; a fresh "
        "--workdir draws all of them anew"
    )
