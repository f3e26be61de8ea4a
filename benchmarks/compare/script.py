"""What an expert writes instead of the tutorial: features of the frozen network once, then a logistic regression.

    python -m benchmarks.compare.script TASK.json

The images of folders pass the network once, with its own pooling and preprocessing; scikit-learn standardises the
features and fits the regression, whose penalty five folds choose; the accuracy is printed, and the classifier is saved.
It checks no image, keeps no feature, evaluates against nothing, and exports nothing that a server could load. It prints
one JSON object at the end.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.compare.task import Task
from benchmarks.compare.tutorial import read_folders


def main() -> None:
    """Computes features, fits, scores and saves."""
    task = Task.read(Path(sys.argv[1]))
    started = time.monotonic()
    from sklearn.linear_model import LogisticRegressionCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    network = make_network(task)
    train, validation, _ = read_folders(task)
    values, labels = compute_features(network, train)
    classifier = make_pipeline(StandardScaler(), LogisticRegressionCV(cv=5, max_iter=1000, random_state=task.seed))
    classifier.fit(values, labels)
    accuracy = classifier.score(*compute_features(network, validation))
    Path(task.scratch, "classifier.pickle").write_bytes(pickle.dumps(classifier))
    print(json.dumps({"accuracy": float(accuracy), "seconds": time.monotonic() - started}))


def make_network(task: Task) -> Any:
    """Makes the frozen network from pixels 0..255 to pooled features."""
    import keras

    shape = (task.image_size, task.image_size, 3)
    settings = {"input_shape": shape, "alpha": task.alpha, "include_top": False, "pooling": "avg", "weights": None}
    backbone = keras.applications.MobileNetV2(**settings)
    backbone.load_weights(task.weights)
    pixels = keras.Input(shape)
    return keras.Model(pixels, backbone(keras.applications.mobilenet_v2.preprocess_input(pixels), training=False))


def compute_features(network: Any, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Computes features, float32 [n, d], and gives them with the labels, int [n], in the order of the batches."""
    found = [(network.predict_on_batch(pixels), labels) for pixels, labels in images]
    values, labels = zip(*found, strict=True)
    return np.concatenate(values), np.concatenate(labels)


if __name__ == "__main__":
    main()
