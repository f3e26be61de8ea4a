"""Runs in a fresh process with nothing but TensorFlow: reads the toy form, and the weight of the SavedModel."""

import json
import sys


def main(request_path, answer_path):
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    with open(request["file"], encoding="utf-8") as file:
        toy = json.load(file)
    import tensorflow as tf

    expected = getattr(tf.saved_model.load(request["model"]), request["weight_of"])
    ours = [name for name in sys.modules if name.partition(".")[0] in ("components", "pipeline", "tests")]
    assert not ours, ours
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump({**toy, "expected": float(expected[0])}, file)


if __name__ == "__main__":
    main(*json.loads(sys.stdin.readline()))
