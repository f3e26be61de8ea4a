"""The class map: which class has which index, from run to run.

A class keeps its place in the order; a new one comes after all others. One that is gone leaves no gap, and has its
place again if it comes back.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from components.contract.names import key_of
from components.example_gen.history import History
from components.example_gen.manifest import Row


@dataclass
class ClassMap:
    """The classes of a run, and what became of those of earlier runs.

    Attributes:
        classes: in the order of their index.
        new: classes that were never seen.
        gone: classes of earlier runs without an image now.
        renamed: old name to new one, where the two differ in Unicode form, case or blanks only, or most images of a new
            class used to be of one that is gone.
        places: all classes ever seen, in the order that is to be remembered.
    """

    classes: list[str]
    new: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    renamed: dict[str, str] = field(default_factory=dict)
    places: list[str] = field(default_factory=list)

    def describe(self) -> str:
        """What changed, in words; empty where nothing did."""
        parts = [f"class '{old}' is now '{new}'" for old, new in self.renamed.items()]
        parts += [f"new class '{label}'" for label in self.new]
        parts += [f"class '{label}' is gone" for label in self.gone]
        return "; ".join(parts)


def map_classes(labels: list[str], rows: list[Row], memory: History) -> ClassMap:
    """The class map of the present data.

    Args:
        labels: the classes that are there now, sorted.
        rows: of all sources.
        memory: of earlier runs; where it knows of none, the order is that of the names.
    """
    known = memory.classes()
    if not known:
        return ClassMap(list(labels), places=list(labels))
    new = [label for label in labels if label not in known]
    gone = [label for label in known if label not in labels]
    renamed = _find_renamed(new, gone, rows, memory)
    places = [renamed.get(label, label) for label in known]
    new = [label for label in new if label not in renamed.values()]
    places += new
    gone = [label for label in gone if label not in renamed]
    return ClassMap([label for label in places if label in labels], new, gone, renamed, places)


def _find_renamed(new: list[str], gone: list[str], rows: list[Row], memory: History) -> dict[str, str]:
    keys = {key_of(label): label for label in gone}
    renamed = {keys[key_of(label)]: label for label in new if key_of(label) in keys}
    for label in new if gone else []:
        if label in renamed.values():
            continue
        digests = [row.sha256 for row in rows if row.label == label and row.sha256]
        counts = Counter(before for before in memory.labels(digests) if before in gone and before not in renamed)
        if counts and (best := counts.most_common(1)[0])[1] > len(digests) / 2:
            renamed[best[0]] = label
    return renamed
