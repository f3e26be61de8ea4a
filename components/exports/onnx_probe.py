"""Runs in a fresh process without TensorFlow: an ONNX file on pixels that the SavedModel decoded elsewhere.

Usage: python -I onnx_probe.py REQUEST.json ANSWER.json, or with --wait, which takes the two paths from a
line of standard input, as a JSON list. This file imports nothing of Graft.
"""

import json
import os
import sys
import time

AT_ONCE = 32  # images in a batch


def main(request_path: str, answer_path: str) -> None:
    """Answers with the probabilities of every image, and the class names that the file brings."""
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    import numpy
    import onnxruntime

    pixels = numpy.memmap(request["pixels"], "float32", "r", shape=tuple(request["pixels_shape"]))
    session = onnxruntime.InferenceSession(request["file"], providers=["CPUExecutionProvider"])

    def ask(images):  # type: ignore[no-untyped-def]
        return session.run(None, {session.get_inputs()[0].name: images})[0]

    probabilities = [row for first in range(0, len(pixels), AT_ONCE) for row in ask(pixels[first : first + AT_ONCE])]
    started = time.monotonic()
    for image in pixels[:AT_ONCE]:
        ask(image[None])
    seconds = time.monotonic() - started
    rows = [
        {"sha256": name, "probabilities": row.tolist()}
        for name, row in zip(request["digests"], probabilities, strict=True)
    ]
    answer = {
        "rows": rows,
        "labels": json.loads(session.get_modelmeta().custom_metadata_map[request["labels"]]),
        "bytes": os.path.getsize(request["file"]),
        "milliseconds": round(seconds * 1000 / max(len(pixels[:AT_ONCE]), 1), 2),
        "foreign_modules": sorted({"components", "pipeline", "tensorflow"} & set(sys.modules)),
    }
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump(answer, file)


if __name__ == "__main__":
    main(*(json.loads(sys.stdin.readline()) if sys.argv[1] == "--wait" else sys.argv[1:3]))
