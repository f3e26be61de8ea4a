"""Tables of what is known of images, and real statistics of them."""

import functools
import pickle

import numpy as np
import pandas as pd
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2, statistics_pb2

from components.contract import features
from components.schema import SCHEMA_FILE, expect_classes

SIZES = ((500, 375), (500, 333), (375, 500), (480, 360))


def photographs(count, seed=0):
    """A table of `count` photographs, a row each; seeds differ as two random samples of one set do."""
    rng = np.random.default_rng(seed)
    width, height = np.array(SIZES)[rng.integers(0, len(SIZES), count)].T
    dogs = np.arange(count) % 2
    return pd.DataFrame(
        {
            features.LABEL_TEXT: np.array(["cats", "dogs"])[dogs],
            features.LABEL: dogs,
            features.FORMAT: "jpeg",
            features.HEIGHT: height,
            features.WIDTH: width,
            features.CHANNELS: 3,
            features.BYTE_SIZE: rng.integers(10_000, 40_000, count),
            features.BRIGHTNESS: rng.normal(118, 25, count).clip(0, 255).astype(np.float32),
            features.CONTRAST: rng.normal(55, 12, count).clip(0, 127).astype(np.float32),
            features.ASPECT_RATIO: (width / height).astype(np.float32),
        }
    )


def changed(table, share=1.0, **values):
    """The table with other values, by the last part of a feature's name, in the first rows."""
    table = table.copy()
    for name, value in values.items():
        column = f"image/{name}" if name != "label" else features.LABEL_TEXT
        table.loc[: round(share * len(table)) - 1, column] = value(table[column]) if callable(value) else value
    return table


def camera(table, width, height, share=1.0):
    """The table with one size of image."""
    ratio = np.float32(width / height)
    return changed(table, share, width=width, height=height, aspect_ratio=ratio)


def darkened(table, factor):
    return changed(table, brightness=lambda x: x * np.float32(factor), contrast=lambda x: x * np.float32(factor))


def statistics_of(table):
    """Those of equal tables are computed once."""
    return statistics_pb2.DatasetFeatureStatisticsList.FromString(_statistics_of(pickle.dumps(table)))


@functools.cache
def _statistics_of(pickled):
    import tensorflow_data_validation as tfdv

    return tfdv.generate_statistics_from_dataframe(pickle.loads(pickled)).SerializeToString()


def committed_schema(classes=None):
    schema = text_format.Parse(SCHEMA_FILE.read_text("utf-8"), schema_pb2.Schema())
    if classes is not None:
        expect_classes(schema, classes)
    return schema


def write_statistics(folder, tables):
    """Statistics by split, as StatisticsGen leaves them."""
    for split, table in tables.items():
        place = folder / f"Split-{split}"
        place.mkdir(parents=True)
        (place / features.STATISTICS_FILE).write_bytes(statistics_of(table).SerializeToString())
    return folder
