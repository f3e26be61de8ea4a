"""The forms of one pushed version beside one another: size, accuracy on labelled images, milliseconds an image.

    python -m benchmarks.exports work/photos/serving/VERSION --data photos/validation --cores 2

The images lie in a folder a class. Pixels come from the version's own `decode` and are the same for all; decoding and
resizing are not in the times, as only the SavedModel can do them. Each form answers one image at a time. All are timed
in turn, round after round, so that what else the machine does meets them alike, and the figure is the fastest tenth of
the calls, which is nearest to what a quiet machine gives. CPU time is of all threads; with `--cores 1` it tells work
from waiting. `--cores` is for each runtime the number of its threads, and of the processors that this process may use.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

SUFFIXES = (".jpg", ".jpeg", ".png", ".gif", ".bmp")
AT_ONCE = 32  # images that are decoded together
ROUNDS, CALLS = 20, 10  # calls a form in each round
Times = dict[str, tuple[float, float]]  # the fastest tenth, and processor time, ms, by form
Ask = Callable[[Any], Any]  # pixels float32 [1, height, width, 3] to probabilities [classes]


def main() -> None:
    """Prints a Markdown table."""
    arguments = parse_arguments()
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(arguments.cores)
    from components.contract.assets import read_labels

    labels = read_labels(arguments.model)
    images = [path for path in sorted(arguments.data.rglob("*")) if path.suffix.lower() in SUFFIXES]
    known = [path for path in images if path.parent.name in labels]
    if not known:
        sys.exit(f"expected images in folders named {', '.join(labels)} below {arguments.data}, found none")
    forms = load_forms(arguments.model, 1)  # on a busy machine threads of one runtime wait for one another
    right: dict[str, int] = dict.fromkeys(forms, 0)
    sample: list[Any] = []
    for names, pixels in decode(arguments.model, known):
        sample = sample or list(pixels[:CALLS, None])
        for name, (ask, _) in forms.items():
            found = [labels[int(ask(image).argmax())] for image in pixels[:, None]]
            right[name] += sum(one == other for one, other in zip(found, names, strict=True))
    forms = load_forms(arguments.model, arguments.cores)
    print_table(forms, right, len(known), time_forms(forms, sample))


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="folder of a pushed version, with the forms that it has")
    parser.add_argument("--data", type=Path, required=True, help="labelled images, a folder a class")
    parser.add_argument("--cores", type=int, default=2)
    return parser.parse_args()


def decode(model: Path, images: list[Path]) -> Iterator[tuple[list[str], Any]]:
    """Gives class names and pixels float32 [n, height, width, 3], some images at a time."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model))
    for first in range(0, len(images), AT_ONCE):
        chunk = images[first : first + AT_ONCE]
        pixels = loaded.decode(tf.constant([path.read_bytes() for path in chunk])).numpy()
        yield [path.parent.name for path in chunk], pixels


def load_forms(model: Path, cores: int) -> dict[str, tuple[Ask, int]]:
    """Gives how each form is asked, and its size in bytes."""
    from components.exports.table import EXPORT_FORMS, file_of, load_form

    saved = sum(path.stat().st_size for name in ("saved_model.pb", "variables") for path in files_of(model / name))
    forms = {"SavedModel": (load_saved_model(model), saved)}
    for name in EXPORT_FORMS:
        file = Path(file_of(load_form(name), str(model)))
        if file.is_file():
            load = load_onnx if name == "onnx" else load_tflite
            forms[name] = (load(file, cores), file.stat().st_size)
    return forms


def files_of(path: Path) -> list[Path]:
    """Lists a file, or the files of a folder."""
    return sorted(path.iterdir()) if path.is_dir() else [path]


def load_saved_model(model: Path) -> Ask:
    """TensorFlow from pixels on."""
    import tensorflow as tf

    loaded = tf.saved_model.load(str(model))
    return lambda pixels: loaded.classify_pixels(tf.constant(pixels))["probabilities"].numpy()[0]


def load_tflite(file: Path, cores: int) -> Ask:
    """LiteRT's interpreter, or TensorFlow's own where that is the line's."""
    import importlib

    from components.process.lines import current_line

    module = importlib.import_module(current_line().tflite_interpreter)
    interpreter = module.Interpreter(model_path=str(file), num_threads=cores)
    interpreter.allocate_tensors()
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def ask(pixels: Any) -> Any:
        whole = taken["dtype"].__name__ == "uint8"
        interpreter.set_tensor(taken["index"], (pixels.round() if whole else pixels).astype(taken["dtype"]))
        interpreter.invoke()
        return interpreter.get_tensor(given["index"])[0]

    return ask


def load_onnx(file: Path, cores: int) -> Ask:
    """ONNX Runtime on the processor."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = cores
    session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(None, {"pixels": pixels})[0][0]


def time_forms(forms: dict[str, tuple[Ask, int]], sample: list[Any]) -> Times:
    """Gives the fastest tenth of the times of one image, and the median of its processor time, ms."""
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in forms}
    for _ in range(ROUNDS):
        for name, (ask, _) in forms.items():
            for pixels in sample:
                started, worked = time.perf_counter(), time.process_time()
                ask(pixels)
                seconds[name].append((time.perf_counter() - started, time.process_time() - worked))
    columns = {name: list(zip(*rows, strict=True)) for name, rows in seconds.items()}
    return {
        name: (statistics.quantiles(wall, n=10)[0] * 1000, statistics.median(work) * 1000)
        for name, (wall, work) in columns.items()
    }


def print_table(
    forms: dict[str, tuple[Ask, int]], right: dict[str, int], images: int, times: dict[str, tuple[float, float]]
) -> None:
    """Writes the table, a form a row."""
    from components.contract.statistics import wilson_interval

    print("| form | MB | accuracy | 95 % interval | ms an image | CPU ms |\n" + "| --- " * 6 + "|")
    for name, (_, size) in forms.items():
        low, high = wilson_interval(right[name], images, 0.95)
        share, (fast, work) = right[name] / images, times[name]
        print(f"| {name} | {size / 1e6:.2f} | {share:.3f} | {low:.3f} to {high:.3f} | {fast:.1f} | {work:.1f} |")


if __name__ == "__main__":
    main()
