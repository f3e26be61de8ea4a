"""Models that are wrong on chosen images, and records without pictures: TFMA and the gates run for real, in seconds."""

import hashlib
import json

from tfx.types import artifact_utils, standard_artifacts

from components.contract import features
from tests.conftest import artifact

CLASSES = ["cats", "dogs"]


def write_examples(folder, count):
    """An Examples artifact: image number i is of class i % 2, and its number is its size in bytes."""
    import tensorflow as tf

    split = folder / "Split-eval"
    split.mkdir(parents=True)
    with tf.io.TFRecordWriter(str(split / "data_tfrecord-00000-of-00001")) as writer:
        for number in range(count):
            writer.write(record_of(number))
    made = artifact(standard_artifacts.Examples, folder)
    made.split_names = artifact_utils.encode_split_names(["eval"])
    return made


def record_of(number):
    """A serialized tf.Example without a picture."""
    import tensorflow as tf

    texts = {
        features.IMAGE: f"picture {number}",
        features.LABEL_TEXT: CLASSES[number % 2],
        features.FILENAME: f"{number}.png",
        features.SHA256: hashlib.sha256(str(number).encode()).hexdigest(),
        features.FORMAT: "png",
    }
    numbers = {features.LABEL: number % 2, features.BYTE_SIZE: number, features.HEIGHT: 9, features.WIDTH: 9}
    example = tf.train.Example()
    for name, text in texts.items():
        example.features.feature[name].bytes_list.value.append(text.encode())
    for name, value in numbers.items():
        example.features.feature[name].int64_list.value.append(value)
    return example.SerializeToString()


def save_model(folder, wrong, classes=CLASSES, refused=None, **further):
    """An exported model that is wrong on the images of these numbers, and right on all others; with further facts.

    It calls those of `refused` outliers; None: it is of an older Graft, and does not say.
    """
    import tensorflow as tf

    missed = tf.constant([*wrong, -1], tf.int64)
    specs = {name: tf.io.FixedLenFeature([], tf.int64) for name in (features.LABEL, features.BYTE_SIZE)}

    def answer(examples):
        parsed = tf.io.parse_example(examples, specs)
        is_wrong = tf.reduce_any(parsed[features.BYTE_SIZE][:, None] == missed, axis=1)
        predicted = tf.where(is_wrong, 1 - parsed[features.LABEL], parsed[features.LABEL])
        answers = {features.OUTPUT_PROBABILITIES: 0.1 + 0.8 * tf.one_hot(predicted, 2)}
        if refused is None:
            return answers
        known = ~tf.reduce_any(parsed[features.BYTE_SIZE][:, None] == tf.constant([*refused, -1], tf.int64), axis=1)
        return {**answers, features.OUTPUT_OUTLIER: tf.where(known, 0.5, 0.01), features.OUTPUT_KNOWN: known}

    module = tf.Module()
    module.serve = tf.function(answer, input_signature=[tf.TensorSpec([None], tf.string, features.INPUT_EXAMPLES)])
    path = folder / "Format-Serving"
    tf.saved_model.save(module, str(path), signatures={features.SERVE_EXAMPLES: module.serve})
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / features.LABELS_ASSET).write_text("".join(f"{name}\n" for name in classes))
    facts = {"classes": classes, "weights_sha256": hashlib.sha256(repr(list(wrong)).encode()).hexdigest(), **further}
    (path / "assets" / features.FACTS_ASSET).write_text(json.dumps(facts))
    return artifact(standard_artifacts.Model, folder, 7)
