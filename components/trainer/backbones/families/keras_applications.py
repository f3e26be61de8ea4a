"""The image models of `keras.applications`, without their top.

Scalings are those of the `preprocess_input` of each module of Keras, addresses and digests of weights those that its
constructor asks for; `python -m tests.components.trainer.backbones.families.walk` holds each row against Keras.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from components.trainer.backbones.family import Backbone, License, PublishedWeights, Scaling, check_row, weights_of_row

if TYPE_CHECKING:
    import keras
    import tensorflow as tf

KERAS, OLDER = (f"https://storage.googleapis.com/{folder}keras-applications/" for folder in ("tensorflow/", ""))
TOPLESS = "_notop.h5"
KERNELS = "_weights_tf_dim_ordering_tf_kernels_notop.h5"
KERNELS_OF_SIDE = "_weights_tf_dim_ordering_tf_kernels_{variant}_{side}_no_top.h5"
NEXT = f"{KERAS}convnext/convnext"
V1, V2 = f"{OLDER}efficientnet", f"{KERAS}efficientnet_v2/efficientnetv2"
_MOBILE_V3 = {"alpha": 1.0, "minimalistic": False}

_ROWS = (
    Backbone(
        "ConvNeXtTiny",
        "inside",
        768,
        f"{NEXT}_tiny{TOPLESS}",
        "d547c096cabd03329d7be5562c5e14798aa39ed24b474157cef5e85ab9e49ef1",
    ),
    Backbone(
        "ConvNeXtSmall",
        "inside",
        768,
        f"{NEXT}_small{TOPLESS}",
        "6fc8009faa2f00c1c1dfce59feea9b0745eb260a7dd11bee65c8e20843da6eab",
    ),
    Backbone(
        "ConvNeXtBase",
        "inside",
        1024,
        f"{NEXT}_base{TOPLESS}",
        "40a20c5548a5e9202f69735ecc06c990e6b7c9d2de39f0361e27baeb24cb7c45",
    ),
    Backbone(
        "ConvNeXtLarge",
        "inside",
        1536,
        f"{NEXT}_large{TOPLESS}",
        "96f02b6f0753d4f543261bc9d09bed650f24dd6bc02ddde3066135b63d23a1cd",
    ),
    Backbone(
        "ConvNeXtXLarge",
        "inside",
        2048,
        f"{NEXT}_xlarge{TOPLESS}",
        "de3f8a54174130e0cecdc71583354753d557fcf1f4487331558e2a16ba0cfe05",
    ),
    Backbone("DenseNet121", "torch", 1024, f"{KERAS}densenet/densenet121{KERNELS}", "30ee3e1110167f948a6b9946edeeb738"),
    Backbone("DenseNet169", "torch", 1664, f"{KERAS}densenet/densenet169{KERNELS}", "b8c4d4c20dd625c148057b9ff1c1176b"),
    Backbone("DenseNet201", "torch", 1920, f"{KERAS}densenet/densenet201{KERNELS}", "c13680b51ded0fb44dff2d8f86ac8bb1"),
    Backbone("EfficientNetB0", "inside", 1280, f"{V1}b0{TOPLESS}", "50bc09e76180e00e4465e1a485ddc09d"),
    Backbone("EfficientNetB1", "inside", 1280, f"{V1}b1{TOPLESS}", "74c4e6b3e1f6a1eea24c589628592432", 240),
    Backbone("EfficientNetB2", "inside", 1408, f"{V1}b2{TOPLESS}", "111f8e2ac8aa800a7a99e3239f7bfb39", 260),
    Backbone("EfficientNetB3", "inside", 1536, f"{V1}b3{TOPLESS}", "af6d107764bb5b1abb91932881670226", 300),
    Backbone("EfficientNetB4", "inside", 1792, f"{V1}b4{TOPLESS}", "ebc24e6d6c33eaebbd558eafbeedf1ba", 380),
    Backbone("EfficientNetB5", "inside", 2048, f"{V1}b5{TOPLESS}", "38879255a25d3c92d5e44e04ae6cec6f", 456),
    Backbone("EfficientNetB6", "inside", 2304, f"{V1}b6{TOPLESS}", "9ecce42647a20130c1f39a5d4cb75743", 528),
    Backbone("EfficientNetB7", "inside", 2560, f"{V1}b7{TOPLESS}", "cbcfe4450ddf6f3ad90b1b398090fe4a", 600),
    Backbone("EfficientNetV2B0", "inside", 1280, f"{V2}-b0{TOPLESS}", "893217f2bb855e2983157299931e43ff"),
    Backbone("EfficientNetV2B1", "inside", 1280, f"{V2}-b1{TOPLESS}", "0e80663031ca32d657f9caa404b6ec37", 240),
    Backbone("EfficientNetV2B2", "inside", 1408, f"{V2}-b2{TOPLESS}", "1dfe2e7a5d45b6632553a8961ea609eb", 260),
    Backbone("EfficientNetV2B3", "inside", 1536, f"{V2}-b3{TOPLESS}", "f6abf7b5849ac99a89b50dd3fd532856", 300),
    Backbone("EfficientNetV2S", "inside", 1280, f"{V2}-s{TOPLESS}", "af0682fb74e8c54910f2d4393339c070", 384),
    Backbone("EfficientNetV2M", "inside", 1280, f"{V2}-m{TOPLESS}", "1b8dc055df72dde80d614482840fe342", 480),
    Backbone("EfficientNetV2L", "inside", 1280, f"{V2}-l{TOPLESS}", "b0b66b5c863aef5b46e8608fe1711615", 480),
    Backbone(
        "InceptionResNetV2",
        "-1..1",
        1536,
        f"{KERAS}inception_resnet_v2/inception_resnet_v2{KERNELS}",
        "d19885ff4a710c122648d3b5c3b684e4",
        299,
        smallest_size=75,
    ),
    Backbone(
        "InceptionV3",
        "-1..1",
        2048,
        f"{KERAS}inception_v3/inception_v3{KERNELS}",
        "bcbd6486424b2319ff4ef7d526e38f63",
        299,
        smallest_size=75,
    ),
    Backbone(
        *("MobileNet", "-1..1", 1024, KERAS + "mobilenet/mobilenet_{variant}_{side}_tf_no_top.h5"),
        arguments={"alpha": 1.0, "depth_multiplier": 1},
        variants={(0.25, 1): ("2_5", ""), (0.5, 1): ("5_0", ""), (0.75, 1): ("7_5", ""), (1.0, 1): ("1_0", "")},
        sides=(128, 160, 192),
    ),
    Backbone(
        *("MobileNetV2", "-1..1", 1280, KERAS + "mobilenet_v2/mobilenet_v2" + KERNELS_OF_SIDE),
        arguments={"alpha": 1.0},
        variants={(alpha,): (str(alpha), "") for alpha in (0.35, 0.5, 0.75, 1.0, 1.3, 1.4)},
        sides=(96, 128, 160, 192),
    ),
    Backbone(
        *("MobileNetV3Large", "inside", 960, KERAS + "mobilenet_v3/weights_mobilenet_v3_{variant}_float_no_top_v2.h5"),
        arguments=_MOBILE_V3,
        variants={
            (0.75, False): ("large_224_0.75", "40af19a13ebea4e2ee0c676887f69a2e"),
            (1.0, False): ("large_224_1.0", "07fb09a5933dd0c8eaafa16978110389"),
            (1.0, True): ("large_minimalistic_224_1.0", "ec5221f64a2f6d1ef965a614bdae7973"),
        },
    ),
    Backbone(
        *("MobileNetV3Small", "inside", 576, KERAS + "mobilenet_v3/weights_mobilenet_v3_{variant}_float_no_top_v2.h5"),
        arguments=_MOBILE_V3,
        variants={
            (0.75, False): ("small_224_0.75", "ebdb5cc8e0b497cd13a7c275d475c819"),
            (1.0, False): ("small_224_1.0", "d3e8ec802a04aa4fc771ee12a9a9b836"),
            (1.0, True): ("small_minimalistic_224_1.0", "cde8136e733e811080d9fcd8a252f7e4"),
        },
    ),
    Backbone(
        "NASNetLarge",
        "-1..1",
        4032,
        f"{KERAS}nasnet/NASNet-large-no-top.h5",
        "d81d89dc07e6e56530c4e77faddd61b5",
        331,
        cached_as="nasnet_large_no_top.h5",
    ),
    Backbone(
        "NASNetMobile",
        "-1..1",
        1056,
        f"{KERAS}nasnet/NASNet-mobile-no-top.h5",
        "1ed92395b5b598bdda52abe5c0dbfd63",
        cached_as="nasnet_mobile_no_top.h5",
    ),
    Backbone("ResNet50", "caffe", 2048, f"{KERAS}resnet/resnet50{KERNELS}", "4d473c1dd8becc155b73f8504c6f6626"),
    Backbone("ResNet101", "caffe", 2048, f"{KERAS}resnet/resnet101{KERNELS}", "88cf7a10940856eca736dc7b7e228a21"),
    Backbone("ResNet152", "caffe", 2048, f"{KERAS}resnet/resnet152{KERNELS}", "ee4c566cf9a93f14d82f913c2dc6dd0c"),
    Backbone("ResNet50V2", "-1..1", 2048, f"{KERAS}resnet/resnet50v2{KERNELS}", "fac2f116257151a9d068a22e544a4917"),
    Backbone("ResNet101V2", "-1..1", 2048, f"{KERAS}resnet/resnet101v2{KERNELS}", "c0ed64b8031c3730f411d2eb4eea35b5"),
    Backbone("ResNet152V2", "-1..1", 2048, f"{KERAS}resnet/resnet152v2{KERNELS}", "ed17cf2e0169df9d443503ef94b23b33"),
    Backbone("VGG16", "caffe", 512, f"{KERAS}vgg16/vgg16{KERNELS}", "6d6bbae143d832006294945121d1f1fc"),
    Backbone("VGG19", "caffe", 512, f"{KERAS}vgg19/vgg19{KERNELS}", "253f8cb515780f3b799900260a226db6"),
    Backbone(
        "Xception",
        "-1..1",
        2048,
        f"{KERAS}xception/xception{KERNELS}",
        "b0042744bf5b25fce3cb969f33bebb97",
        299,
        smallest_size=71,
    ),
)
ROWS: dict[str, Backbone] = {row.name: row for row in _ROWS}

# Keras' documentation says so much up to version 2.3 (docs/templates/applications.md); of ConvNeXt, both EfficientNets
# and MobileNetV3, which are younger, it says nothing.
_APACHE = License("apache-2.0", "says Keras, of those of github.com/tensorflow/models")
_DENSE = License("bsd-3-clause", "says Keras, of those of github.com/liuzhuang13/DenseNet")
_RESNET = License("mit", "says Keras, of those of github.com/KaimingHe/deep-residual-networks")
_RESNET_V2 = License("bsd", "says Keras, of those of github.com/facebook/fb.resnet.torch")
_VGG = License("cc-by-4.0", "says Keras, of those of the Visual Geometry Group, Oxford")
LICENSES: dict[str, License] = {
    **dict.fromkeys(("InceptionV3", "InceptionResNetV2", "MobileNet", "MobileNetV2"), _APACHE),
    **dict.fromkeys(("NASNetLarge", "NASNetMobile"), _APACHE),
    **dict.fromkeys(("DenseNet121", "DenseNet169", "DenseNet201"), _DENSE),
    **dict.fromkeys(("ResNet50", "ResNet101", "ResNet152"), _RESNET),
    **dict.fromkeys(("ResNet50V2", "ResNet101V2", "ResNet152V2"), _RESNET_V2),
    **dict.fromkeys(("VGG16", "VGG19"), _VGG),
    "Xception": License("mit", "says Keras, which trained them"),
}
ARE_PATHS = False
ARE_PROVEN = True
PACKAGES: tuple[str, ...] = ()


def holds(name: str) -> bool:
    """Whether the table has a row of this name."""
    return name in ROWS


def check(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> None:
    """Refuses images that are too small, and unknown arguments.

    Raises:
        InputError: says what the row takes.
    """
    check_row(ROWS[name], image_size, arguments)


def scaling_of(name: str) -> Scaling:
    """The scaling of a row."""
    return ROWS[name].scaling


def find_weights(name: str, image_size: tuple[int, int], arguments: dict[str, Any]) -> PublishedWeights:
    """The file of ImageNet weights that Keras publishes for a row.

    Raises:
        InputError: Keras has none, for example of another width.
    """
    return weights_of_row(ROWS[name], "Keras", image_size, arguments)


def build(name: str, image_size: tuple[int, int], arguments: dict[str, Any], weights: str | None) -> keras.Model:
    """The network of a row without its top: scaled pixels float32 [batch, height, width, 3] to maps [batch, h, w, d].

    Raises:
        InputError: the weights file cannot be read, or does not fit.
    """
    import keras

    from components.trainer.backbones.weights import load_weights_file  # loads Keras

    constructor = getattr(keras.applications, name)
    model = constructor(weights=None, include_top=False, input_shape=(*image_size, 3), **arguments)
    unfold_depthwise(model)
    if weights:
        load_weights_file(model, name, weights)
    return model


def unfold_depthwise(model: keras.Model) -> None:
    """Lets convolutions with one channel a group run as what they are: depthwise (ConvNeXt's).

    Keras hands grouped convolutions to XLA: many times slower on a CPU, without a static shape once folded, and the
    exported model would need XLA wherever it is served. Variables and values stay the same.
    """
    import keras

    for layer in model._flatten_layers(include_self=False):  # those inside of others, too: no public way leads there
        if isinstance(layer, keras.layers.Conv2D) and layer.groups == layer.filters > 1 and layer.kernel.shape[2] == 1:
            layer.convolution_op = partial(_depthwise, layer)


def _depthwise(layer: keras.layers.Conv2D, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    import keras

    turned = keras.ops.transpose(kernel, (0, 1, 3, 2))  # [h, w, 1, channels] to [h, w, channels, 1]
    return keras.ops.depthwise_conv(
        inputs, turned, layer.strides, layer.padding, layer.data_format, layer.dilation_rate
    )
