"""Copies, conflicts, leakage and sides, on rows as an inspection leaves them."""

import pytest

from components.example_gen.judge import judge_rows
from components.example_gen.manifest import Row
from components.example_gen.memory import open_memory
from components.example_gen.split import split_by_content
from components.options import DataOptions

FRACTION = DataOptions().eval_fraction


def digest(start, rest="0"):
    """A digest whose first digits decide its side."""
    return (start + rest * 64)[:64]


TRAIN, EVAL = digest("f"), digest("0")
assert (split_by_content(TRAIN, FRACTION), split_by_content(EVAL, FRACTION)) == ("train", "eval")


def row(name, sha256, label="cats", split="", group="", picture_hash=""):
    return Row(name, label, split, group, sha256, bytes=1, format="png", height=9, width=9, picture_hash=picture_hash)


def judge(*rows, memory="", **options):
    with open_memory(memory) as known:
        return judge_rows(list(rows), DataOptions(**options), known)


def fates(*rows):
    return [(r.reason or r.split, r.detail) for r in rows]


def test_of_exact_copies_the_first_stays():
    a, b, c = row("a", TRAIN), row("b", TRAIN), row("c", digest("f", "1"))
    findings = judge(a, b, c)
    assert fates(a, b, c) == [("train", ""), ("duplicate_of", "a"), ("train", "")]
    assert findings.duplicates == [["a", "b"]]
    assert findings.conflicts == findings.leakage == findings.near_duplicates == []


def test_copies_can_be_kept():
    a, b = row("a", TRAIN), row("b", TRAIN)
    findings = judge(a, b, duplicates="keep")
    assert fates(a, b) == [("train", ""), ("train", "")]
    assert findings.duplicates == [["a", "b"]]


def test_the_same_picture_under_two_classes_is_out_on_both_sides_and_each_names_the_other():
    a, b, c = row("a", EVAL), row("b", EVAL, "dogs"), row("c", EVAL)
    findings = judge(a, b, c)
    assert fates(a, b, c) == [
        ("conflicting_label", "the same picture is under 'dogs': b"),
        ("conflicting_label", "the same picture is under 'cats': a"),
        ("conflicting_label", "the same picture is under 'dogs': b"),
    ]
    assert (findings.conflicts, findings.duplicates) == ([["a", "b", "c"]], [])


def test_conflicts_can_be_kept_then_each_class_keeps_one():
    a, b, c = row("a", EVAL), row("b", EVAL, "dogs"), row("c", EVAL)
    findings = judge(a, b, c, conflicts="keep")
    assert fates(a, b, c) == [("eval", ""), ("eval", ""), ("duplicate_of", "a")]
    assert findings.conflicts == [["a", "b", "c"]]


@pytest.mark.parametrize("leakage", ["remove", "report"])
def test_a_copy_across_given_sides_is_leakage_and_leaves_train(leakage):
    a, b, c = row("t/a", TRAIN, split="train"), row("v/b", TRAIN, split="eval"), row("t/c", EVAL, split="train")
    findings = judge(a, b, c, leakage=leakage)
    out = ("duplicate_of", "v/b, which is on the eval side (the same bytes)")
    assert fates(a, b, c) == [out if leakage == "remove" else ("train", ""), ("eval", ""), ("train", "")]
    assert findings.leakage == [["v/b", "t/a"]]
    assert findings.duplicates == [["t/a", "v/b"]]


def near(bits):
    """A picture hash that differs from that of `near(0)` in so many bits."""
    return f"{(1 << bits) - 1:064x}"


def test_a_near_copy_across_given_sides_is_leakage_too():
    a, b = row("a", TRAIN, split="train", picture_hash=near(0)), row("b", EVAL, split="eval", picture_hash=near(3))
    findings = judge(a, b)
    assert fates(a, b)[0] == ("duplicate_of", "b, which is on the eval side (hashes differ in 3 of 256 bits)")
    assert findings.leakage == [["b", "a"]]
    assert findings.near_duplicates == [["a", "b"]]


def test_a_group_on_both_given_sides_is_leakage():
    a, b = row("a", TRAIN, split="train", group="g"), row("b", EVAL, split="eval", group="g")
    judge(a, b)
    assert fates(a, b)[0] == ("duplicate_of", "b, which is on the eval side (both of group 'g')")


def test_near_copies_and_groups_share_the_side_of_their_smallest_digest():
    pairs = [
        (row("a", TRAIN, picture_hash=near(0)), row("b", EVAL, picture_hash=near(3))),
        (row("c", digest("e"), group="g"), row("d", digest("1"), group="g")),
    ]
    judge(*(member for pair in pairs for member in pair))
    assert [member.split for pair in pairs for member in pair] == ["eval"] * 4


def test_the_distance_decides_what_is_near():
    a, b = row("a", TRAIN, picture_hash=near(0)), row("b", EVAL, picture_hash=near(3))
    judge(a, b, near_duplicate_distance=2)
    assert (a.split, b.split) == ("train", "eval")


def grow(memory, *rows):
    with open_memory(memory) as known:
        judge_rows(list(rows), DataOptions(near_duplicate_distance=15), known)
        known.keep_sides(((r.sha256, r.split) for r in rows if r.is_example), FRACTION)


def test_a_newcomer_joins_the_side_of_the_old_image_whatever_its_own_digest_says(tmp_path):
    memory = str(tmp_path / "m")
    grow(memory, row("old", TRAIN, picture_hash=near(0)))
    old, new = row("old", TRAIN, picture_hash=near(0)), row("new", EVAL, picture_hash=near(3))
    grow(memory, old, new)
    assert (old.split, new.split) == ("train", "train")


def test_a_newcomer_that_joins_two_sides_is_left_out_and_moves_neither(tmp_path):
    memory = str(tmp_path / "m")
    hashes = near(0), near(20), near(10)
    old = [row("a", TRAIN, picture_hash=hashes[0]), row("b", EVAL, picture_hash=hashes[1])]
    grow(memory, *old)
    assert [r.split for r in old] == ["train", "eval"]
    for _ in range(2):  # the answer is the same in every later run
        a, b = row("a", TRAIN, picture_hash=hashes[0]), row("b", EVAL, picture_hash=hashes[1])
        new = row("c", digest("5"), picture_hash=hashes[2])
        grow(memory, a, b, new)
        assert (a.split, b.split) == ("train", "eval")
        assert fates(new) == [("duplicate_of", "it joins images of both sides: a (train) and b (eval)")]


def test_rejected_and_ignored_rows_are_compared_with_nothing():
    bad, aside, good = row("bad", TRAIN), row("aside", TRAIN), row("good", TRAIN)
    bad.reject("truncated", "cut")
    aside.ignored = "hidden"
    assert judge(bad, aside, good).duplicates == []
    assert fates(bad, good) == [("truncated", "cut"), ("train", "")]
