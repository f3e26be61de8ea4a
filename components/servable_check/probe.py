"""Runs in a fresh process with nothing but TensorFlow: loads an export and replays real images.

Usage: python -I probe.py REQUEST.json ANSWER.json, or python -I probe.py --wait, which loads TensorFlow and then takes
the two paths from a line of standard input, as a JSON list; the end of the input ends it.

This file imports nothing of Graft: what it can do, a model server can. Packages that a server does not have are hidden.
The request names the SavedModel, TFRecord files of tf.Examples, how many of them, the digests of the images that come
first, the batch size, the names of the features, and a file for the decoded pixels, if others want them.

One image warms both signatures up at the same time. Then come the odd inputs: the replay after them shows that they did
no harm, and 100 MB of zeros do not add to the memory of a replay. The answer says which of them is being tried, so that
one that kills the process is known.
"""

import contextlib
import ctypes
import gc
import importlib.abc
import json
import os
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

HIDDEN = (
    "IPython",
    "apache_beam",
    "components",
    "googleapiclient",  # with oauth2client what TensorFlow offers for TPUs: 11 MB
    "h5py",
    "keras_hub",
    "keras.src",  # TensorFlow looks for `keras`, loads this if it can, and does without; it takes a second and 90 MB
    "oauth2client",
    "pandas",
    "pipeline",
    "scipy",
    "tensorflow_model_analysis",
    "tensorflow_transform",
    "tfx",
    "tfx_bsl",
)
CALLS_OF_ONE, CALLS_OF_BATCH, SECONDS = 20, 10, 10.0  # timed calls: at most so many, and no new one after so long
ONE_PIXEL = bytes.fromhex(  # a grey PNG of 1 x 1
    "89504e470d0a1a0a0000000d49484452000000010000000108000000003a7e9b550000000a49444154789c636800000082008177cd72b6"
    "0000000049454e44ae426082"
)
SIGNATURES = "serving_default", "serve_examples"
TEXT = b"This is no image.\n" * 100
ODD_INPUTS = {  # functions of TensorFlow; the largest while the process is still small
    "zeros_100mb": lambda tf: tf.strings.join([tf.constant(bytes(1_000_000))] * 100),
    "empty": lambda tf: tf.constant(b""),
    "text": lambda tf: tf.constant(TEXT),
    "one_pixel": lambda tf: tf.constant(ONE_PIXEL),
}


class Hidden(importlib.abc.MetaPathFinder):
    """Packages that a model server does not have are not there for this process either."""

    def find_spec(self, fullname, path=None, target=None):  # type: ignore[no-untyped-def]
        """Refuses the packages of `HIDDEN`, leaves all others to those that follow."""
        if fullname in HIDDEN or fullname.partition(".")[0] in HIDDEN:
            raise ModuleNotFoundError(f"{fullname} is hidden: a model server does not have it", name=fullname)


def load_bare_tensorflow():  # type: ignore[no-untyped-def]
    """Loads TensorFlow without the packages that a model server does not have."""
    if not any(isinstance(finder, Hidden) for finder in sys.meta_path):
        sys.meta_path.insert(0, Hidden())
    gc.disable()  # it would walk over the growing number of modules again and again
    import tensorflow as tf

    gc.freeze()
    gc.enable()
    return tf


def wait_for_paths() -> list[str]:
    """Reads the paths from a line of standard input, once TensorFlow is loaded; none where the input ends before."""
    load_bare_tensorflow()
    line = sys.stdin.readline()
    return json.loads(line) if line else []


def main(request_path: str, answer_path: str) -> None:
    """Answers with load time, latencies in milliseconds, memory and every image's probabilities."""
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    tf = load_bare_tensorflow()
    start = time.monotonic()
    model = tf.saved_model.load(request["model"])
    answer = {"load_seconds": time.monotonic() - start, "tensorflow": tf.__version__, "odd_inputs": {}}
    serve_bytes, serve_examples = (call_by_name(model.signatures[name]) for name in SIGNATURES)
    records = images, examples, _ = read_records(tf, request)
    warm_up(tf, (serve_bytes, images), (serve_examples, examples))
    forget_peak()  # what getting ready took is given back before the zeros take most
    for name, make in ODD_INPUTS.items():
        write_answer({**answer, "trying": name}, answer_path)
        answer["odd_inputs"][name] = ask_signature(tf, serve_bytes, tf.reshape(make(tf), [1]))
    os.remove(answer_path)  # what fails from here on is no odd input's doing
    forget_peak()
    answer["answers"] = replay(tf, serve_bytes, serve_examples, records, request["batch_size"])
    answer["milliseconds"] = {
        str(size): time_calls(tf, serve_bytes, images, size, calls)
        for size, calls in ((1, CALLS_OF_ONE), (request["batch_size"], CALLS_OF_BATCH))
        if images
    }
    if images:
        answer["mixed_batch"] = ask_signature(tf, serve_bytes, tf.constant([images[0], TEXT, images[0]]))
        answer["afterwards"] = ask_signature(tf, serve_bytes, tf.constant([images[0]]))
    answer["peak_rss_mb"] = measure_peak_mb()
    answer["foreign_modules"] = sorted(name for name in sys.modules if name in HIDDEN)
    if request.get("pixels"):
        answer["pixels_shape"] = write_pixels(tf, model, images, request)
    write_answer(answer, answer_path)


def call_by_name(signature):  # type: ignore[no-untyped-def]
    """Makes a function of a signature of one input: called by position, TensorFlow prints the input to see if it fits.

    That takes 2.5 s for 100 MB.
    """
    (name,) = signature.structured_input_signature[1]
    return lambda value: signature(**{name: value})


def warm_up(tf, *asked):  # type: ignore[no-untyped-def]
    """Asks signatures at the same time about the first of their values: TensorFlow gets each ready on one processor."""
    ready = [(signature, tf.constant(values[:1])) for signature, values in asked if values]
    with ThreadPoolExecutor(len(asked)) as pool:
        for answer in [pool.submit(signature, value) for signature, value in ready]:
            answer.result()


def replay(tf, serve_bytes, serve_examples, records, batch_size):  # type: ignore[no-untyped-def]
    """Gives what both signatures answer for every record, in batches."""
    images, examples, digests = records
    answers = []
    for begin in range(0, len(images), batch_size):
        chunk = slice(begin, begin + batch_size)
        answer, same = serve_bytes(tf.constant(images[chunk])), serve_examples(tf.constant(examples[chunk]))
        found = answer["label"].numpy(), answer["probabilities"].numpy(), same["probabilities"].numpy()
        for digest, label, probabilities, from_example in zip(digests[chunk], *found, strict=True):
            answers.append(
                {
                    "sha256": digest,
                    "label": label.decode("utf-8"),
                    "probabilities": probabilities.tolist(),
                    "from_example": from_example.tolist(),
                }
            )
    return answers


def write_pixels(tf, model, images, request):  # type: ignore[no-untyped-def]
    """Writes the pixels of all images for probes without TensorFlow, as bare float32; gives their shape."""
    with open(request["pixels"], "wb") as file:
        for begin in range(0, len(images), request["batch_size"]):
            pixels = model.decode(tf.constant(images[begin : begin + request["batch_size"]])).numpy()
            file.write(pixels.tobytes())
    return [len(images), *pixels.shape[1:]] if images else [0, 1, 1, 3]


def time_calls(tf, signature, images, size, calls):  # type: ignore[no-untyped-def]
    """Times calls of `size` images each, in ms, at most `calls`; the replay before has warmed the signature up."""
    milliseconds: list[float] = []
    while len(milliseconds) < calls and sum(milliseconds) < SECONDS * 1000:
        batch = tf.constant([images[(len(milliseconds) * size + row) % len(images)] for row in range(size)])
        start = time.monotonic()
        signature(batch)["probabilities"].numpy()
        milliseconds.append((time.monotonic() - start) * 1000)
    return milliseconds


def ask_signature(tf, signature, images):  # type: ignore[no-untyped-def]
    """Gives the signature's labels and probabilities for some images, or its error."""
    try:
        answer = signature(images)
        return {
            "outcome": "answered",
            "labels": [label.decode("utf-8") for label in answer["label"].numpy()],
            "probabilities": answer["probabilities"].numpy().tolist(),
        }
    except tf.errors.OpError as error:
        return {"outcome": "error", "error": type(error).__name__, "message": reason_of(error.message)}
    except Exception as error:  # noqa: BLE001  anything else is no clean error, and is said
        return {"outcome": "exception", "error": type(error).__name__, "message": str(error)[:200]}


def reason_of(message: str) -> str:
    """Finds what TensorFlow says in a message, without the places in the graph."""
    around = ("Graph execution error", "Detected at node", "<stack traces", "[[", "File ", "(")
    lines = [line.strip() for line in message.splitlines()]
    return next((line for line in reversed(lines) if line and not line.startswith(around)), message)[:200]


def read_records(tf, request):  # type: ignore[no-untyped-def]
    """Reads image bytes, serialized examples and digests of some records, first those that training answered."""
    known, first, others = set(request["known"]), [], []  # type: ignore[var-annotated]
    options = tf.data.Options()
    options.autotune.enabled = False  # the end would wait for it, as long as the loop has taken
    for record in tf.data.TFRecordDataset(request["records"]).with_options(options).as_numpy_iterator():
        if len(first) == request["images"]:
            break
        feature = tf.train.Example.FromString(record).features.feature
        digest = feature[request["sha256_feature"]].bytes_list.value[0].decode()
        place = first if digest in known else others
        if len(place) < request["images"]:
            place.append((feature[request["image_feature"]].bytes_list.value[0], record, digest))
    rows = [*first, *others][: request["images"]]
    return tuple([row[column] for row in rows] for column in range(3))


def write_answer(answer, path: str) -> None:  # type: ignore[no-untyped-def]
    """Writes the answer whole or not at all: a reader may come after this process has died."""
    with open(path + ".partial", "w", encoding="utf-8") as file:
        json.dump(answer, file)
    os.replace(path + ".partial", path)


def forget_peak() -> None:
    """Gives back what was freed, and lets Linux measure the peak of memory from here on, if it can."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
    with contextlib.suppress(OSError), open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def measure_peak_mb() -> float:
    """Measures the peak memory of this program in MB; `ru_maxrss` has the parent's peak in it, as it survives exec."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    if paths := wait_for_paths() if sys.argv[1] == "--wait" else sys.argv[1:3]:
        main(*paths)
        os._exit(0)  # the answer is written: Python would take a fifth of a second to clear TensorFlow away
