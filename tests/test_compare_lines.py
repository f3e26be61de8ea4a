"""Two TFX lines agree or do not: passports and kept features that differ in one thing each."""

import json

import numpy as np
import pytest

from scripts.compare_lines import FEATURES, main
from tests.conftest import encode_pack

DIGESTS = np.array([bytes([number]) * 32 for number in (1, 2, 3)], "S32")
VECTORS = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)


def write_version(serving, number, line, parent, accuracy=0.95, **model):
    folder = serving / str(number)
    folder.mkdir(parents=True)
    passport = {
        "version": number,
        "tfx_line": line,
        "parent": parent,
        "data_fingerprint": "d",
        "dataset": {"split_sha256": "s"},
        "model": {"backbone_sha256": "b", "head_sha256": "h", **model},
        "metrics": {"accuracy": accuracy},
    }
    (folder / "passport.json").write_text(json.dumps(passport))
    (folder / "saved_model.pb").touch()


def write_features(workdir, key, vectors):
    folder = workdir / "features" / key
    folder.mkdir(parents=True)
    (folder / "key.json").write_text("{}")
    (folder / "1.parquet").write_bytes(encode_pack(DIGESTS, vectors))


def write_workdir(workdir, second_vectors=VECTORS, line="1.16", parent=1, **second):
    write_version(workdir / "serving", 1, "1.21", None)
    write_version(workdir / "serving", 2, line, parent, **second)
    write_features(workdir, "a", VECTORS)
    if second_vectors is not None:
        write_features(workdir, "b", second_vectors)


def test_lines_with_the_same_model_agree(tmp_path, capsys):
    write_workdir(tmp_path, VECTORS + np.float32(FEATURES / 2), accuracy=0.952)
    main(tmp_path)
    assert capsys.readouterr().out.endswith("The two TFX lines agree.\n")


@pytest.mark.parametrize(
    ("difference", "row"),
    [
        ({"line": "1.21"}, "✗ TFX line"),
        ({"parent": None}, "✗ compared with"),
        ({"head_sha256": "other"}, "✗ head"),
        ({"accuracy": 0.946}, "✗ accuracy"),
        ({"second_vectors": VECTORS + np.float32(2 * FEATURES)}, "✗ features"),
        ({"second_vectors": None}, "✗ features        1 keys             expected 2"),
    ],
)
def test_one_difference_is_enough(tmp_path, capsys, difference, row):
    write_workdir(tmp_path, **difference)
    with pytest.raises(SystemExit, match=r"The two TFX lines do not agree\."):
        main(tmp_path)
    (wrong,) = [line for line in capsys.readouterr().out.splitlines() if "✗" in line]
    assert wrong.strip().startswith(row)


def test_one_version_is_nothing_to_compare(tmp_path):
    write_version(tmp_path / "serving", 1, "1.21", None)
    with pytest.raises(SystemExit, match="expected two versions, one of each TFX line, found 1"):
        main(tmp_path)
