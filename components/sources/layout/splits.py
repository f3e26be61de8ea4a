"""Splits told by names, `seg_train`, `val2017`, `Testing`, `trainset`, `validación`, and the level of folders they are.

A name is read as words, whatever is between them, in any case: letters between other signs, camel case, and words
written together. It is a split's name where nothing else is in it but words that say nothing (`images`, `set`), or
where what else is in it is the same in the name of another split beside it: `asl_alphabet_train`, `asl_alphabet_test`.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

from components.contract import features
from components.sources.layout.shapes import FolderShape, telling_of

TRAIN, EVAL, TEST = features.TRAIN_SPLIT, features.EVAL_SPLIT, "test"
UNLABELLED, PART, HOLDER = "unlabelled", "part", "holder"
SPLIT_KINDS = (TRAIN, EVAL, TEST, UNLABELLED)  # what a level of folders can be split into

SPLIT_WORDS = {
    TRAIN: "train training trn trainval learn learning"
    " entrenamiento entrainement apprentissage treino treinamento addestramento lernen egitim trening uczenie traning"
    " обучение обучающая тренировочная 训练 訓練 訓練用 学習 훈련 학습",
    EVAL: "validation valid val eval evaluation dev devel development holdout heldout"
    " validacion validacao validazione validierung validatie dogrulama walidacja валидация проверка"
    " 验证 驗證 検証 검증",
    TEST: "test testing tests tst prueba pruebas teste prova тест тестовая тестирование 测试 測試 テスト 테스트",
    UNLABELLED: "pred predict prediction predictions unlabelled unlabeled unsup unsupervised submission inference",
    # Pieces of a set; alone they name neither a class nor a side.
    PART: "fold folds split splits batch part parts chunk shard set sets subset partition",
    # What only says that pictures are in there.
    HOLDER: "images image imgs img data dataset datasets jpegimages",
    # Beside a word of a split these say nothing; alone they may name a class.
    "": "folder folders files file pictures picture pics photos photo samples sample seg cls jpg jpeg jpegs png pngs"
    " original originals orig resized resize cropped crop augmented aug raw full small large new old final"
    " cross my the of public private for v 数据集 数据 集 データ データセット 用 세트 набор выборка conjunto ensemble",
}
FILLERS = (PART, HOLDER, "")
SHORT_WORDS = {
    "tr": TRAIN,
    "va": EVAL,
    "vl": EVAL,
    "vld": EVAL,
    "te": TEST,
    "ts": TEST,
}  # where all names beside them are


def _plain(text: str) -> str:
    """Removes accents and invisible characters, so that `Validación` is `Validacion`."""
    return "".join(
        char for char in unicodedata.normalize("NFKD", text) if unicodedata.category(char) not in ("Mn", "Cf")
    )


WORD_KINDS = {_plain(word).casefold(): kind for kind, words in SPLIT_WORDS.items() for word in words.split()}
LETTERS = re.compile(r"[^\W\d_]+")
CAMEL = re.compile(r"(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
TOGETHER = re.compile(
    "|".join(
        sorted(
            map(re.escape, (word for word in WORD_KINDS if len(word) > 2 or not word.isascii())), key=len, reverse=True
        )
    )
)
HELD_OUT = re.compile(r"(h[eo]ld)[\W_]*(out)", re.IGNORECASE)
SIDE_WORDS = "|".join(sorted((word for word, kind in WORD_KINDS.items() if kind in SPLIT_KINDS), key=len, reverse=True))
ENDS = re.compile(rf"({SIDE_WORDS})(.*)|(.*?)({SIDE_WORDS})")
LONG_ENDS = re.compile(r".+(train|training|validation|testing)(?<!strain)(?<!quatrain)")


@lru_cache(maxsize=65536)
def words_of(name: str) -> tuple[str, ...]:
    """Splits a name into words, without accents and in lower case; numbers count nothing."""
    runs = LETTERS.findall(HELD_OUT.sub(r"\1\2", _plain(name)))
    return tuple(word for run in runs for word in _words_of_run(run))


def _words_of_run(run: str) -> list[str]:
    """The words in letters that follow one another: `TrainingSet`, `trainingset`, `TRAINset`."""
    whole = run.casefold()
    together = TOGETHER.findall(whole)
    if whole in WORD_KINDS or "".join(together) != whole:
        together = []
    return together or ([whole] if whole in WORD_KINDS else [word.casefold() for word in CAMEL.split(run)])


def split_kind(name: str) -> str:
    """Tells the split of a name that names nothing else: `train`, `eval`, `test`, `unlabelled` or empty."""
    kinds, rest = _read(name)
    return next(iter(kinds)) if len(kinds) == 1 and not rest else ""


def _read(name: str) -> tuple[set[str], tuple[str, ...]]:
    """The kinds of split in a name, and its other words but those that say nothing."""
    found = [(word, WORD_KINDS.get(word)) for word in words_of(name)]
    return {kind for _, kind in found if kind in SPLIT_KINDS}, tuple(word for word, kind in found if kind is None)


def split_of_word(word: str) -> str:
    """Tells the split of a word in any spelling: `train`, `eval`, `test` or empty."""
    kind = split_kind(word)
    return kind if kind != UNLABELLED else ""


def has_side(name: str) -> bool:
    """Tells whether a name has a word of a split in it, or at the end of one."""
    return any(WORD_KINDS.get(word) in SPLIT_KINDS or LONG_ENDS.fullmatch(word) for word in words_of(name))


def looks_like_split(name: str) -> bool:
    """Tells whether a name has a word of a split, or no words but those of parts and of holders: no plain class."""
    kinds = {WORD_KINDS.get(word) for word in words_of(name)}
    return has_side(name) or (bool(kinds & {PART, HOLDER}) and kinds <= {*FILLERS})


def read_level(names: Iterable[str]) -> dict[str, str]:
    """Returns the kind of each split among the names of one level of folders.

    Where two splits share what else is in their names, those are understood: it says nothing of them.
    """
    names = sorted(names)
    kinds = {name: kind for name in names if (kind := split_kind(name))}
    short = {name: side for name in names if (side := SHORT_WORDS.get("".join(words_of(name))))}
    if len(kinds) + len(short) == len(names) and len({*kinds.values(), *short.values()}) > 1:
        return kinds | short
    shared = sharing_splits(name for name in names if name not in kinds)
    if len(shared) == 1 and (not kinds or len(names) == len(kinds) + len(shared[0])):
        kinds |= shared[0]
    return kinds


def sharing_splits(names: Iterable[str]) -> list[dict[str, str]]:
    """Groups names of several kinds of split that share all other words: `mytrain` and `mytest`."""
    sharing: defaultdict[tuple[str, ...], dict[str, str]] = defaultdict(dict)
    for name in names:
        for rest, kind in _readings(name):
            sharing[rest][name] = kind
    return [named for named in sharing.values() if len(set(named.values())) > 1]


def _readings(name: str) -> list[tuple[tuple[str, ...], str]]:
    """Lists the readings of a name as a split: its other words, and the kind (`mytrain`: `my`, train)."""
    found, rest = _read(name)
    if found:
        return [(rest, found.pop())] if len(found) == 1 else []
    words = words_of(name)
    return [
        ((*words[:place], match[2] or match[3] or "", *words[place + 1 :]), WORD_KINDS[match[1] or match[4]])
        for place, word in enumerate(words)
        if (match := ENDS.fullmatch(word))
    ]


class Level(NamedTuple):
    """A level of folders that are splits.

    Attributes:
        depth: how many levels are above it.
        kinds: of each name in it.
        repeats: how many levels below it only say the same again, as in `train/train/cats`.
    """

    depth: int
    kinds: dict[str, str]
    repeats: int = 0

    def cut(self, folder: str) -> tuple[str, str]:
        """Cuts the level out of a path: the kind of split that a folder is in (empty: in none), and the rest."""
        parts = folder.split("/")
        name = parts[self.depth] if len(parts) > self.depth else ""
        kind = self.kinds.get(name, "")
        inner = parts[self.depth + 1 + self.repeats :]
        return kind, "/".join((*parts[: self.depth], *inner)) if kind else folder

    def says_again(self, path: list[str], repeats: int) -> bool:
        """Tells whether the folder some levels below a split has its name or kind; or the path ends before."""
        depth = self.depth + repeats
        return (
            len(path) <= depth
            or path[depth] == path[self.depth]
            or split_kind(path[depth]) == self.kinds[path[self.depth]]
        )


def find_level(shape: FolderShape, partly: bool = False) -> Level | None:
    """Finds the level at which the path to every image names a split; partly: train and another side do."""
    telling = telling_of(shape)
    paths = [folder.split("/") for folder, kind in shape.items() if kind >= telling and folder]
    for depth in range(max(map(len, paths), default=0)):
        names = {path[depth] if len(path) > depth else "" for path in paths}
        kinds = read_level(names)
        sides = set(kinds.values())
        if len(names) > 1 and (kinds.keys() == names or (partly and TRAIN in sides and sides & {EVAL, TEST})):
            return _with_repeats(
                Level(depth, kinds), [path for path in paths if len(path) > depth and path[depth] in kinds]
            )
    return None


def _with_repeats(level: Level, paths: list[list[str]]) -> Level:
    """The level, with the levels below it at which every path says the same again."""
    repeats, longest = 0, max(map(len, paths))
    while level.depth + repeats + 1 < longest and all(level.says_again(path, repeats + 1) for path in paths):
        repeats += 1
    return level._replace(repeats=repeats)


def kinds_with_classes(cut: Iterable[tuple[str, str]]) -> set[str]:
    """Returns the kinds of split with class folders in them; `test/images/` or `test/unlabeled/` is none.

    Args:
        cut: of folders: the kind of split, and the path below it.
    """
    found = [(kind, rest) for kind, rest in cut if rest]
    plain = {kind for kind, rest in found if not all(map(looks_like_split, rest.split("/")))}
    return plain or {kind for kind, _ in found}
