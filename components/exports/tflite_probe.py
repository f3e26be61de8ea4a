"""Runs in a fresh process with nothing but TensorFlow: a TensorFlow Lite file on images as the SavedModel decodes them.

Usage: python -I tflite_probe.py REQUEST.json ANSWER.json, or with --wait, which takes the two paths from a
line of standard input, as a JSON list. This file imports nothing of Graft.
"""

import importlib
import io
import json
import os
import statistics
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from queue import SimpleQueue

AT_ONCE = 32  # images in a chunk


def main(request_path: str, answer_path: str) -> None:
    """Answers with the probabilities of every image, and the class names that the file brings."""
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    import tensorflow as tf

    model = tf.saved_model.load(request["model"])
    with tf.io.gfile.GFile(request["file"], "rb") as file:
        content = file.read()
    idle: SimpleQueue = SimpleQueue()
    answers: list = []
    for _ in range(os.cpu_count() or 1):
        idle.put(load(request["interpreter"], content))

    def ask_idle(image):  # type: ignore[no-untyped-def]
        interpreter = idle.get()
        answer = ask(interpreter, image)
        idle.put(interpreter)
        return answer

    with ThreadPoolExecutor(idle.qsize()) as pool:
        for digests, pixels in read_chunks(tf, request, model.decode):
            answers += zip(digests, pool.map(ask_idle, pixels), strict=True)
    rows = [{"sha256": digest.decode(), "probabilities": found} for digest, (found, _) in answers]
    seconds = [taken for _, (_, taken) in answers]
    with zipfile.ZipFile(io.BytesIO(content)) as archive:  # of files that belong to the model
        labels = archive.read(request["labels"]).decode("utf-8").splitlines()
    answer = {"rows": rows, "labels": labels, "bytes": len(content)}
    answer["milliseconds"] = round(statistics.median(seconds or [0.0]) * 1000, 2)
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(answer, file)


def read_chunks(tf, request, decode):  # type: ignore[no-untyped-def]
    """Reads digests and pixels of the first records that are wanted, of all where the number is -1; decodes ahead."""
    digest, image = request["sha256_feature"], request["image_feature"]
    names = {name: tf.io.FixedLenFeature([], tf.string) for name in (digest, image)}

    def to_pixels(batch):  # type: ignore[no-untyped-def]
        parsed = tf.io.parse_example(batch, names)
        return parsed[digest], decode(parsed[image])

    options = tf.data.Options()
    options.autotune.enabled = False  # the end would wait for it, as long as the loop has taken
    records = tf.data.TFRecordDataset(request["records"]).with_options(options)
    if request["images"] >= 0:
        wanted = tf.constant(request["digests"], tf.string)
        found = lambda record: tf.io.parse_single_example(record, {digest: names[digest]})[digest]  # noqa: E731
        records = records.filter(lambda record: tf.reduce_any(found(record) == wanted)).take(request["images"])
    return records.batch(AT_ONCE).map(to_pixels, num_parallel_calls=2).prefetch(1).as_numpy_iterator()


def load(module: str, content: bytes):  # type: ignore[no-untyped-def]
    """Makes an interpreter of one thread: on a busy machine several of one interpreter wait for one another."""
    interpreter = importlib.import_module(module).Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    return interpreter


def ask(interpreter, image):  # type: ignore[no-untyped-def]
    """Gives the probabilities of an image, [height, width, 3] in 0..255, and the seconds that they took.

    Of a model in whole numbers its own scale turns pixels and probabilities into these and back.
    """
    (pixels,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()
    whole = pixels["dtype"].__name__ != "float32"
    interpreter.set_tensor(pixels["index"], (image.round() if whole else image).astype(pixels["dtype"])[None])
    started = time.monotonic()
    interpreter.invoke()
    seconds = time.monotonic() - started
    answer = interpreter.get_tensor(probabilities["index"])[0].astype("float32")
    scale, zero = probabilities["quantization"]
    return ((answer - zero) * scale if scale else answer).tolist(), seconds


if __name__ == "__main__":
    main(*(json.loads(sys.stdin.readline()) if sys.argv[1] == "--wait" else sys.argv[1:3]))
