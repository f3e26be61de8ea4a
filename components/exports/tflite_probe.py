"""Runs in a fresh process with nothing but TensorFlow: the TensorFlow Lite file and the SavedModel on the same images.

Usage: python -I tflite_probe.py REQUEST.json ANSWER.json, or with --wait, which takes the two paths from a
line of standard input, as a JSON list. This file imports nothing of Graft.
"""

import importlib
import io
import json
import sys
import zipfile


def main(request_path: str, answer_path: str) -> None:
    """Answers with both probabilities of every image, and the class names that the file brings."""
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    import tensorflow as tf

    model = tf.saved_model.load(request["model"])
    serve = model.signatures["serving_default"]
    with tf.io.gfile.GFile(request["file"], "rb") as file:
        content = file.read()
    interpreter = importlib.import_module(request["interpreter"]).Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (pixels,), (probabilities,) = interpreter.get_input_details(), interpreter.get_output_details()
    rows = []
    for record in tf.data.TFRecordDataset(request["records"]).take(request["images"]).as_numpy_iterator():
        feature = tf.train.Example.FromString(record).features.feature
        image = tf.constant([feature[request["image_feature"]].bytes_list.value[0]])
        interpreter.set_tensor(pixels["index"], model.decode(image).numpy())
        interpreter.invoke()
        rows.append(
            {
                "tflite": interpreter.get_tensor(probabilities["index"])[0].tolist(),
                "saved_model": serve(image_bytes=image)["probabilities"][0].numpy().tolist(),
            }
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:  # of files that belong to the model
        labels = archive.read(request["labels"]).decode("utf-8").splitlines()
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump({"rows": rows, "labels": labels, "bytes": len(content)}, file)


if __name__ == "__main__":
    main(*(json.loads(sys.stdin.readline()) if sys.argv[1] == "--wait" else sys.argv[1:3]))
