"""Networks of Keras cut short: all their kinds of layers and their stride, in a third of the time or less."""

from keras.src.applications import convnext, efficientnet, mobilenet_v2

HALVING = (0, 1, 2, 3, 6, 13)  # blocks of MobileNetV2 that halve the maps, and one with a shortcut


def cut_networks(patch):
    """Cuts ConvNeXtTiny, EfficientNetB0 to B7 and MobileNetV2 as long as the patch holds."""
    whole = mobilenet_v2._inverted_res_block

    def block(inputs, **given):
        return whole(inputs, **given) if given["block_id"] in HALVING else inputs

    patch.setattr(mobilenet_v2, "_inverted_res_block", block)
    patch.setattr(efficientnet, "DEFAULT_BLOCKS_ARGS", efficientnet.DEFAULT_BLOCKS_ARGS[:2])
    small = {"depths": [1] * 4, "projection_dims": [8, 16, 24, 32]}
    patch.setitem(convnext.MODEL_CONFIGS, "tiny", convnext.MODEL_CONFIGS["tiny"] | small)
