"""Hundreds of damaged images of every format: each is in one place, and what is taken is read by all that follows."""

import tensorflow as tf

from components.contract import features
from components.images.orientation import read_orientation, turn
from components.images.tensorflow_pixels import decode_with_tensorflow
from pipeline.predict.reading import check_image
from tests import mutants, pictures
from tests.components.example_gen.test_ingest import execute, read_records, read_rows, value

COUNT = 300


def test_every_damaged_image_is_in_one_place_and_what_is_taken_is_read_everywhere(tmp_path, capfd):
    root = pictures.write_tree(tmp_path / "data", {"cats": 20, "dogs": 20})
    files = dict(mutants.mutated_files(COUNT))
    for index, (name, content) in enumerate(files.items()):
        pictures.write(root / ("cats", "dogs")[index // 64 % 2] / name, content)
    limits = {"max_bad_fraction": 1.0, "min_side": 1, "near_duplicate_distance": None}
    execute(root, tmp_path, **limits, duplicates="keep", conflicts="keep", leakage="report")
    rows = {row.name: row for row in read_rows(tmp_path)}
    assert sorted(rows) == sorted(str(path.relative_to(root)) for path in root.rglob("*.*"))
    taken = {name for name, row in rows.items() if row.is_example}
    records = [
        record for split in ("train", "eval") for record in read_records(tmp_path / "examples" / f"Split-{split}")
    ]
    assert sorted(value(record, features.FILENAME).decode() for record in records) == sorted(taken)
    assert 60 < len(taken) - 40 < COUNT - 60  # else the mutations are too mild, or all is refused
    for record in records:
        content = value(record, features.IMAGE)
        pixels = decode_with_tensorflow(content)
        size = (value(record, features.HEIGHT), value(record, features.WIDTH), 3)
        assert not isinstance(pixels, str), pixels
        assert turn(pixels, read_orientation(content)).shape == size  # as the transform graph does with JPEGs
    for name, row in rows.items():
        answer = check_image(name, (root / name).read_bytes())
        assert (answer.error == "") is row.is_example or row.ignored, (name, row.reason, answer.error)
        assert row.is_example or row.ignored or answer.error == f"{row.reason}: {row.detail}"
    assert not tf.io.gfile.glob(str(tmp_path / "examples" / ".attempts" / "*"))
    capfd.readouterr()  # libtiff and libjpeg speak
