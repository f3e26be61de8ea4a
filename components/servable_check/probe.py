"""Runs in a fresh process with nothing but TensorFlow: loads an export and replays real images.

Usage: python -I probe.py REQUEST.json ANSWER.json. This file imports nothing of Graft: what it can do, a model server
can. The request names the SavedModel, a TFRecord file of tf.Examples, how many of them, and the batch size.
"""

import json
import resource
import sys
import time


def main(request_path: str, answer_path: str) -> None:
    """Answers with load time, latencies in milliseconds, memory and every image's probabilities."""
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    import tensorflow as tf

    start = time.monotonic()
    model = tf.saved_model.load(request["model"])
    load_seconds = time.monotonic() - start
    images, examples, digests = read_images(tf, request)
    serve_bytes, serve_examples = model.signatures["serving_default"], model.signatures["serve_examples"]
    answers, latencies = [], []
    for begin in range(0, len(images), request["batch_size"]):
        chunk = slice(begin, begin + request["batch_size"])
        start = time.monotonic()
        answer = serve_bytes(tf.constant(images[chunk]))
        latencies.append((time.monotonic() - start) * 1000)
        same = serve_examples(tf.constant(examples[chunk]))
        for row, label in enumerate(answer["label"].numpy()):
            answers.append(
                {
                    "sha256": digests[begin + row],
                    "label": label.decode("utf-8"),
                    "probabilities": answer["probabilities"][row].numpy().tolist(),
                    "from_example": same["probabilities"][row].numpy().tolist(),
                }
            )
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(
            {
                "answers": answers,
                "load_seconds": load_seconds,
                "batch_milliseconds": latencies,
                "peak_rss_mb": peak_rss_mb(),
                "tensorflow": tf.__version__,
                "foreign_modules": sorted(name for name in sys.modules if name in ("components", "pipeline", "tfx")),
            },
            file,
        )


def read_images(tf, request):  # type: ignore[no-untyped-def]
    """Image bytes, serialized examples and content digests of the first records."""
    images, examples, digests = [], [], []
    for record in tf.data.TFRecordDataset(request["records"]).take(request["images"]).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        images.append(feature[request["image_feature"]].bytes_list.value[0])
        digests.append(feature[request["sha256_feature"]].bytes_list.value[0].decode())
        examples.append(record)
    return images, examples, digests


def peak_rss_mb() -> float:
    """Peak memory of this program; `ru_maxrss` would include the process that started it (it survives exec)."""
    try:
        with open("/proc/self/status", encoding="ascii") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM")) / 1024
    except OSError:  # not Linux
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main(*sys.argv[1:3])
