"""The contract of names: no two things share one, and other files agree with it."""

from collections import Counter

from components.contract import features
from components.images.formats import IMAGE_FORMATS


def test_no_two_features_share_a_name():
    names = [getattr(features, key) for key in ("IMAGE", "LABEL_TEXT", "LABEL", "FILENAME", "SHA256", "FORMAT")]
    names += [features.HEIGHT, features.WIDTH, features.CHANNELS, features.BYTE_SIZE]
    names += [features.BRIGHTNESS, features.CONTRAST, features.ASPECT_RATIO]
    assert max(Counter(names).values()) == 1


def test_no_two_files_of_an_artifact_share_a_name():
    files = [value for key, value in vars(features).items() if key.endswith(("_FILE", "_ASSET"))]
    assert len(files) >= 9
    assert max(Counter(files).values()) == 1


def test_statistics_leave_the_image_and_the_names_out():
    left_out = {features.IMAGE, features.FILENAME, features.SHA256}
    assert not left_out & set(features.STATISTICS_FEATURES)
    assert set(features.STATISTICS_FEATURES.values()) == {"BYTES", "INT", "FLOAT"}


def test_every_format_can_be_told_by_its_content():
    assert set(features.FORMATS) <= {row.name for row in IMAGE_FORMATS if not row.way_out}
