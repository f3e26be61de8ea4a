"""What TensorFlow's transfer-learning tutorial does, as a plain Keras script: the time to beat.

    python -m benchmarks.compare.tutorial TASK.json

After https://www.tensorflow.org/tutorials/images/transfer_learning (feature extraction): images from folders, flips and
rotations, the backbone frozen and in inference mode, global average pooling, dropout, one dense layer; Adam with a
learning rate of 1e-4; the whole network runs over every image in every epoch. Prints one JSON object at the end.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.compare.task import Task

EPOCHS = 10
LEARNING_RATE = 1e-4
AUTOTUNE = -1


def main() -> None:
    """Trains, evaluates and saves."""
    task = Task.read(Path(sys.argv[1]))
    started = time.monotonic()
    import keras

    keras.utils.set_random_seed(task.seed)
    train, validation, classes = read_folders(task)
    model = make_model(task, classes)
    model.fit(train, epochs=EPOCHS, validation_data=validation, verbose=0)
    _, accuracy = model.evaluate(validation, verbose=0)
    model.save(Path(task.scratch) / "tutorial.keras")
    print(json.dumps({"accuracy": float(accuracy), "seconds": time.monotonic() - started}))


def read_folders(task: Task) -> tuple[Any, Any, int]:
    """The train and validation sets, as `image_dataset_from_directory` makes them, and the number of classes."""
    import keras

    asked = {"batch_size": task.batch_size, "image_size": (task.image_size, task.image_size), "seed": task.seed}
    asked["verbose"] = False
    if task.train_folder:
        train = keras.utils.image_dataset_from_directory(task.train_folder, shuffle=True, **asked)
        validation = keras.utils.image_dataset_from_directory(task.eval_folder, shuffle=False, **asked)
    else:
        train, validation = keras.utils.image_dataset_from_directory(
            task.data, shuffle=True, validation_split=0.2, subset="both", **asked
        )
    classes = len(train.class_names)
    return train.prefetch(AUTOTUNE), validation.prefetch(AUTOTUNE), classes


def make_model(task: Task, classes: int) -> Any:
    """The tutorial's network; with more than two classes a softmax instead of its sigmoid."""
    import keras

    shape = (task.image_size, task.image_size, 3)
    backbone = keras.applications.MobileNetV2(input_shape=shape, alpha=task.alpha, include_top=False, weights=None)
    backbone.load_weights(task.weights)
    backbone.trainable = False
    inputs = keras.Input(shape)
    x = keras.Sequential([keras.layers.RandomFlip("horizontal"), keras.layers.RandomRotation(0.2)])(inputs)
    x = keras.applications.mobilenet_v2.preprocess_input(x)
    x = keras.layers.GlobalAveragePooling2D()(backbone(x, training=False))
    x = keras.layers.Dropout(0.2)(x)
    binary = classes == 2
    outputs = keras.layers.Dense(1 if binary else classes, activation="sigmoid" if binary else "softmax")(x)
    model = keras.Model(inputs, outputs)
    model.compile(
        optimizer=keras.optimizers.Adam(learning_rate=LEARNING_RATE),
        loss="binary_crossentropy" if binary else "sparse_categorical_crossentropy",
        metrics=["accuracy"],
    )
    return model


if __name__ == "__main__":
    main()
