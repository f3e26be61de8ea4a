"""How well an image's distance to the train images tells that it belongs to none of the classes.

    python benchmarks/outlier.py --data cats_and_dogs_filtered --weights mobilenet_v2_0.35_no_top.h5

The first table is what Graft exports (`Typicality`), on three splits, with latency and size below it;
EfficientNetLite0 is in it where its package is installed. The second compares scores, on one split: nearest
neighbours in a bank of 1,000 images at most, and Gaussians with one shared covariance (Lee et al. 2018,
arXiv:1807.03888; `relative` takes the distance to all images off: Ren et al. 2021, arXiv:2106.09022), of features as
they are, standardised, or of unit length. In both, 3 of 5 images are learned from, 1 calibrates, and 1 is asked
about: it is in neither. Far outliers are the embedded digits, photographs, drawings, noise and textures, whichever is
not what the model knows; near ones are a class that was left out. AUROC is of good images against outliers; `let
through` is the share of outliers that are `known` at a promise of 5 %, `refused` the share of good images that are
not.
"""

from __future__ import annotations

import argparse
import io
import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
SIDE = 200  # pixels of a drawing
PROMISE = 0.05
FAR = ("digit", "photo", "drawing", "noise", "texture")  # prefixes of groups
LONGEST = 2_000  # photographs of each class
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Case:
    """What a model knows, and what it is shown.

    Attributes:
        name: in words.
        backbone: in words.
        values: float32 [n, d], of all images.
        groups: [n], the name of the set and class of each image.
        known: prefixes of groups that the model has learned.
        near: prefixes of groups that are much like them; empty: none.
    """

    name: str
    backbone: str
    values: np.ndarray
    groups: np.ndarray
    known: tuple[str, ...]
    near: tuple[str, ...] = ()

    def rows(self, prefixes: tuple[str, ...]) -> np.ndarray:
        """bool [n]: the images of the groups with these prefixes."""
        return np.array([group.startswith(prefixes) if prefixes else False for group in self.groups])


def main() -> None:
    """Prints two Markdown tables, and latency and size between them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder with a folder a class, such as cats_and_dogs_filtered")
    parser.add_argument("--weights", required=True, help="of MobileNetV2 0.35, a file")
    parser.add_argument("--seeds", type=int, default=3, help="splits")
    arguments = parser.parse_args()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    contents, groups = gather_images(Path(arguments.data))
    cases = list(make_cases(contents, groups, arguments.weights))
    show_chosen(cases, range(arguments.seeds))
    for width in sorted({case.values.shape[1] for case in cases} | {2_560}):
        print(measure_cost(width))
    compare_scores(cases)


def gather_images(folder: Path) -> tuple[list[bytes], np.ndarray]:
    """All images, and the set and class of each."""
    import head_study

    from pipeline.sample import write_sample

    contents, groups = [], []

    def add(name: str, found: list[bytes]) -> None:
        contents.extend(found)
        groups.extend([name] * len(found))

    for place in sorted({path.parent.name for path in folder.rglob("*.jpg")}):
        add(f"photo {place}", [path.read_bytes() for path in sorted(folder.rglob(f"{place}/*.jpg"))][:LONGEST])
    with tempfile.TemporaryDirectory() as scratch:
        for sample in ("sample:digits", "sample:digits-0-4"):
            for place in sorted(write_sample(sample, Path(scratch)).iterdir()):
                add(f"digit {place.name}", [path.read_bytes() for path in sorted(place.iterdir())])
    add("drawing", draw_drawings(240))
    add("noise", draw_noise(100))
    add("texture", head_study.draw_textures(10, 20)[0])
    return contents, np.array(groups)


def draw_drawings(count: int) -> list[bytes]:
    """Lines, ellipses, boxes and arcs in dark colours on light paper."""
    from PIL import Image, ImageDraw

    draw, contents = np.random.default_rng(0), []
    for _ in range(count):
        image = Image.new("RGB", (SIDE, SIDE), tuple(draw.integers(200, 256, 3).tolist()))
        for _ in range(int(draw.integers(3, 9))):
            draw_shape(ImageDraw.Draw(image), draw)
        contents.append(encode(image))
    return contents


def draw_shape(pen: Any, draw: np.random.Generator) -> None:
    """One shape, anywhere."""
    colour, width = tuple(draw.integers(0, 160, 3).tolist()), int(draw.integers(1, 8))
    (left, right), (top, bottom) = np.sort(draw.integers(5, SIDE - 5, (2, 2)), axis=1).tolist()
    box = (left, top, right + 1, bottom + 1)
    kind = draw.integers(4)
    if kind == 0:
        pen.line(box, colour, width)
    elif kind == 1:
        pen.ellipse(box, outline=colour, width=width)
    elif kind == 2:
        pen.rectangle(box, colour)
    else:
        pen.arc(box, 0, 270, colour, width)


def draw_noise(count: int) -> list[bytes]:
    """Random pixels, coarse and fine."""
    from PIL import Image

    draw = np.random.default_rng(1)
    sides = draw.choice([4, 16, 64, 128], count)
    return [encode(Image.fromarray(draw.integers(0, 256, (s, s, 3), np.uint8)).resize((128, 128))) for s in sides]


def encode(image: Any) -> bytes:
    """An image as PNG."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


def make_cases(contents: list[bytes], groups: np.ndarray, weights: str) -> Iterator[Case]:
    """Photographs and digits through each backbone, and each with something left out."""
    import head_study

    from components.errors import InputError

    networks = {
        "MobileNetV2 0.35, 160 px": ("MobileNetV2", 160, {"alpha": 0.35}, weights),
        "the sample's, 96 px": ("MobileNetV2", 96, {"alpha": 0.35}, head_study.SAMPLE_WEIGHTS),
        "EfficientNetLite0, 224 px": ("EfficientNetLite0", 224, {}, "imagenet"),
    }
    photos = tuple(sorted({group for group in groups if group.startswith("photo")}))
    digits = tuple(f"digit {digit}" for digit in range(10))
    for backbone, request in networks.items():
        try:
            values = embed(contents, *request)
        except InputError as error:
            print(f"{backbone} is left out: {error}", file=sys.stderr)
            continue
        parts = (backbone, values, groups)
        yield Case("digits 5-9", *parts, digits[5:], digits[:5])
        yield Case("digits 0-7", *parts, digits[:8], digits[8:])
        if "sample" not in backbone:
            yield Case("photographs", *parts, photos)
            yield Case(photos[0].removeprefix("photo "), *parts, photos[:1], photos[1:])


def embed(contents: list[bytes], network: str, side: int, extra: dict[str, Any], weights: str) -> np.ndarray:
    """Features of encoded images, float32 [n, d]."""
    import tensorflow as tf

    from components.options.data import TransformOptions
    from components.trainer.backbones.build import make_backbone
    from components.trainer.features.folding import fold_backbone
    from components.transform import decode_and_resize

    built, size = make_backbone(network, (side, side), extra, weights), TransformOptions(image_size=(side, side))
    forward, batches = fold_backbone(built.model, built.scaling), range(0, len(contents), 32)
    return np.concatenate(
        [forward(decode_and_resize(tf.constant(contents[start : start + 32]), size)).numpy() for start in batches]
    )


def draw_split(case: Case, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows to learn from, to calibrate with, and to ask about."""
    rows = np.random.default_rng(seed).permutation(np.flatnonzero(case.rows(case.known)))
    return tuple(np.split(rows, [len(rows) * 3 // 5, len(rows) * 4 // 5]))  # type: ignore[return-value]


def judge(case: Case, split: tuple[np.ndarray, ...], score: Score, outlier: Score) -> dict[str, float]:
    """Figures of one score: the larger, the less typical; `outlier` is what is made of it."""
    from sklearn.metrics import roc_auc_score

    good = case.values[split[2]]
    figures = {"refused": float((outlier(good) <= PROMISE).mean())}
    near = case.rows(case.near)
    other = ~case.rows(case.known) & ~near
    if any(group.startswith("photo") for group in case.known):  # another class of photographs is no far outlier
        other &= ~case.rows(("photo",))
    kinds = {name: case.rows((name,)) & other for name in FAR}
    for name, rows in {"near": near, **kinds}.items():
        if rows.any():
            strange = case.values[rows]
            labels = np.repeat([0, 1], [len(good), len(strange)])
            figures[name] = float(roc_auc_score(labels, np.concatenate([score(good), score(strange)])))
            figures[f"{name} let through"] = float((outlier(strange) > PROMISE).mean())
    return figures


def compare_scores(cases: list[Case]) -> None:
    """The second table: a row a score, means over the cases."""
    print("\n| score | features | far: mean AUROC | far: worst | near: AUROC | near: let through | refused |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for words, how in (("as they are", scale_plain), ("standardised", scale_standard), ("unit length", scale_unit)):
        for name, make in SCORES.items():
            found = [judge_score(case, draw_split(case, 0), how, make) for case in cases]
            far = [
                row[kind] for row in found for kind in ("digit", "photo", "drawing", "noise", "texture") if kind in row
            ]
            near, through = (np.mean([row[key] for row in found if key in row]) for key in ("near", "near let through"))
            cells = [name, words, *(f"{value:.4f}" for value in (np.mean(far), np.min(far), near))]
            print("| " + " | ".join([*cells, f"{through:.2f}", f"{np.mean([r['refused'] for r in found]):.3f}"]) + " |")
            sys.stdout.flush()


def judge_score(case: Case, split: tuple[np.ndarray, ...], how: Any, make: Any) -> dict[str, float]:
    """Figures of one score in one split, calibrated as Graft does."""
    train = case.values[split[0]]
    scale = how(train)
    score = make(scale(train), case.groups[split[0]])
    usual = np.sort(score(scale(case.values[split[1]])))
    share = lambda x: (1 + len(usual) - np.searchsorted(usual, score(scale(x)))) / (len(usual) + 1)  # noqa: E731
    return judge(case, split, lambda values: score(scale(values)), share)


def scale_plain(_train: np.ndarray) -> Score:
    """Features as they are."""
    return lambda values: values.astype(np.float64)


def scale_standard(train: np.ndarray) -> Score:
    """Features of mean 0 and deviation 1 over the train images."""
    mean, spread = train.mean(axis=0), train.std(axis=0) + 1e-3 * train.std()
    return lambda values: (values - mean) / spread


def scale_unit(_train: np.ndarray) -> Score:
    """Features of unit length."""
    return lambda values: values / np.maximum(np.linalg.norm(values, axis=1, keepdims=True), 1e-12)


def neighbours(count: int) -> Callable[[np.ndarray, np.ndarray], Score]:
    """The mean distance to so many nearest of 1,000 train images at most."""

    def make(train: np.ndarray, _labels: np.ndarray) -> Score:
        bank = train[:1_000]
        squares = (bank**2).sum(axis=1)

        def score(values: np.ndarray) -> np.ndarray:
            found = (values**2).sum(axis=1, keepdims=True) + squares - 2 * values @ bank.T
            return np.sqrt(np.maximum(np.partition(found, count - 1, axis=1)[:, :count], 0)).mean(axis=1)

        return score

    return make


def gaussians(relative: bool) -> Callable[[np.ndarray, np.ndarray], Score]:
    """The Mahalanobis distance to the nearest class, with a shared covariance shrunk by a tenth."""

    def root(centred: np.ndarray) -> np.ndarray:
        covariance = centred.T @ centred / len(centred)
        level = np.trace(covariance) / len(covariance)
        return np.linalg.cholesky(np.linalg.inv(0.9 * covariance + 0.1 * level * np.eye(len(covariance))))

    def make(train: np.ndarray, labels: np.ndarray) -> Score:
        classes, at = np.unique(labels, return_inverse=True)
        means, middle = np.stack([train[labels == name].mean(axis=0) for name in classes]), train.mean(axis=0)
        within, overall = root(train - means[at]), root(train - middle)

        def score(values: np.ndarray) -> np.ndarray:
            placed, centres = values @ within, means @ within
            found = (placed**2).sum(axis=1, keepdims=True) + (centres**2).sum(axis=1) - 2 * placed @ centres.T
            off = (((values - middle) @ overall) ** 2).sum(axis=1) if relative else 0.0
            return found.min(axis=1) - off

        return score

    return make


SCORES = {
    **{f"{count} nearest": neighbours(count) for count in (1, 5, 10)},
    "Gaussians": gaussians(relative=False),
    "Gaussians, relative": gaussians(relative=True),
}


def show_chosen(cases: list[Case], seeds: range) -> None:
    """The first table: what Graft exports, a row a case, over the splits: the worst AUROC, and all refused shares."""
    kinds = (*FAR, "near")
    print("| known | backbone | " + " | ".join(f"{kind}s" for kind in kinds) + " | refused |")
    print("|" + " --- |" * (len(kinds) + 3))
    for case in cases:
        found = [judge_typicality(case, draw_split(case, seed)) for seed in seeds]
        cells = [
            f"{min(row[kind] for row in found):.3f} ({max(row[f'{kind} let through'] for row in found):.1%})"
            if kind in found[0]
            else ""
            for kind in kinds
        ]
        refused = ", ".join(f"{row['refused']:.3f}" for row in found)
        print("| " + " | ".join([case.name, case.backbone, *cells, refused]) + " |", flush=True)


def judge_typicality(case: Case, split: tuple[np.ndarray, ...]) -> dict[str, float]:
    """Figures of Graft's own score in one split."""
    from components.trainer.features.data import Split
    from components.trainer.outliers.typicality import Typicality, choose_rows, measure_distances

    train, labels = case.values[split[0]], np.unique(case.groups[split[0]], return_inverse=True)[1]
    names = np.array([f"{row:064x}".encode() for row in range(len(train))], object)
    bank = choose_rows(Split([], names, labels, names), train.shape[1])
    model = Typicality.of(train[bank], labels[bank], case.values[split[1]], PROMISE)
    return judge(
        case, split, lambda values: measure_distances(values, model.bank, model.neighbours), lambda x: model.outlier(x)
    )


def measure_cost(width: int) -> str:
    """What a full bank adds to an export: size in MB, and milliseconds a call, for 1 and for 32 images."""
    import tensorflow as tf

    from components.trainer.outliers.served import OutlierScore
    from components.trainer.outliers.typicality import BANK_BYTES, BANK_ROWS, Typicality

    draw = np.random.default_rng(0)
    values = draw.random([min(BANK_ROWS, BANK_BYTES // (4 * width)), width], np.float32)
    model = Typicality.of(values, np.arange(len(values)) % 2, draw.random([2_000, width], np.float32), PROMISE)
    call = tf.function(OutlierScore(model), input_signature=[tf.TensorSpec([None, width], tf.float32)], autograph=False)
    size, words = sum(array.nbytes for array in model.variables().values()) / 1e6, []
    for batch in (1, 32):
        image, taken = tf.constant(values[:batch]), []
        for _ in range(200):
            begun = time.perf_counter()
            call(image)[0].numpy()
            taken.append(1e3 * (time.perf_counter() - begun))
        words.append(f"{np.median(taken):.2f} ms ({np.percentile(taken, 95):.2f} at the 95th percentile) for {batch}")
    return f"{width} features: {len(values)} images in the bank, {size:.2f} MB, {', '.join(words)}"


if __name__ == "__main__":
    main()
