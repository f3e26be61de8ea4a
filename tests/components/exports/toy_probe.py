"""Runs in a fresh process: reads the toy form, and counts the lines of a file beside the SavedModel."""

import json
import os
import sys


def main(request_path, answer_path):
    with open(request_path, encoding="utf-8") as file:
        request = json.load(file)
    with open(request["file"], encoding="utf-8") as file:
        toy = json.load(file)
    with open(os.path.join(request["model"], "assets", request["count_of"]), encoding="utf-8") as file:
        expected = len(file.readlines())
    ours = [name for name in sys.modules if name.partition(".")[0] in ("components", "pipeline", "tests")]
    assert not ours, ours
    with open(answer_path, "w", encoding="utf-8") as file:
        json.dump({**toy, "expected": expected}, file)


if __name__ == "__main__":
    main(*json.loads(sys.stdin.readline()))
