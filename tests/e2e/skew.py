"""Prints how far `serving_default` on raw bytes is from the training path, over the eval images that it answered.

Usage: python skew.py WORKDIR. A process of its own: TensorFlow is not loaded into the tests' process.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf


def main(workdir: Path) -> None:
    summary = json.loads((workdir / "runs" / "latest" / "summary.json").read_text("utf-8"))
    model = tf.saved_model.load(summary["model"]["path"])
    newest = max((workdir / "artifacts" / "Trainer" / "model_run").iterdir(), key=lambda path: int(path.name))
    stored = np.load(newest / "predictions.npz")
    expected = dict(zip(stored["sha256"], stored["probabilities"], strict=True))
    examples = max((workdir / "artifacts" / "ImageExampleGen" / "examples").iterdir(), key=lambda path: int(path.name))
    largest, images = 0.0, 0
    records = tf.data.TFRecordDataset([str(path) for path in sorted((examples / "Split-eval").iterdir())])
    for batch in records.batch(50).as_numpy_iterator():
        features = [tf.train.Example.FromString(record).features.feature for record in batch]
        contents = [feature["image/encoded"].bytes_list.value[0] for feature in features]
        answers = model.signatures["serving_default"](tf.constant(contents))["probabilities"].numpy()
        for feature, answer in zip(features, answers, strict=True):
            trained = expected.get(feature["image/sha256"].bytes_list.value[0])
            if trained is not None:
                largest = max(largest, float(np.abs(trained - answer).max()))
                images += 1
    outputs = {name: sorted(function.structured_outputs) for name, function in model.signatures.items()}
    embedded = model.signatures["embed"](tf.constant(contents))["features"].shape[1]
    found = {"images": images, "largest_difference": largest, "signatures": outputs, "features": embedded}
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
