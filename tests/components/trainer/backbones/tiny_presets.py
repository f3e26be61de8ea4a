"""A tiny random network of each kind of KerasHub that Graft knows, written as a preset: `python -m ... FOLDER`."""

import sys
from pathlib import Path

SIDE, PATCH, WIDTH = 64, 16, 16  # pixels, pixels, channels of a transformer

TRANSFORMER = {"num_layers": 2, "num_heads": 2, "hidden_dim": WIDTH}
SQUARE = {"image_shape": (SIDE, SIDE, 3), "patch_size": PATCH}
DINO = {**TRANSFORMER, **SQUARE, "intermediate_dim": 32, "num_register_tokens": 3, "layer_scale_init_value": 0.5}
BLOCKS = {
    "stackwise_width_coefficients": [1.0, 1.0],
    "stackwise_depth_coefficients": [1.0, 1.0],
    "stackwise_kernel_sizes": [3, 3],
    "stackwise_num_repeats": [1, 1],
    "stackwise_input_filters": [8, 8],
    "stackwise_output_filters": [8, 16],
    "stackwise_expansion_ratios": [1, 2],
    "stackwise_squeeze_and_excite_ratios": [0.0, 0.25],
    "stackwise_strides": [2, 2],
    "stackwise_block_types": ["fused", "unfused"],
    "stackwise_force_input_filters": [0, 0],
    "stackwise_nores_option": [False, False],
}
MOBILE = {
    "stackwise_expansion": [[8], [16, 16]],
    "stackwise_num_blocks": [1, 2],
    "stackwise_num_filters": [[8], [16, 16]],
    "stackwise_kernel_size": [[3], [3, 3]],
    "stackwise_num_strides": [[2], [2, 1]],
    "stackwise_se_ratio": [[None], [0.25, 0.25]],
    "stackwise_activation": [["relu"], ["hard_swish", "hard_swish"]],
    "stackwise_padding": [[1], [1, 1]],
    "output_num_filters": 24,
    "depthwise_filters": 8,
    "depthwise_stride": 2,
    "depthwise_residual": False,
    "last_layer_filter": 24,
    "squeeze_and_excite": 0.5,
    "image_shape": (None, None, 3),
    "input_num_filters": 8,
}
SIZES = {
    "CSPNet": {
        "stem_filters": 8,
        "stem_kernel_size": 3,
        "stem_strides": 2,
        "stackwise_depth": [1, 1],
        "stackwise_strides": [2, 2],
        "stackwise_num_filters": [8, 16],
        "block_type": "dark_block",
        "stage_type": "dark",
    },
    "DeiT": {**TRANSFORMER, **SQUARE, "intermediate_dim": 32},
    "DenseNet": {"stackwise_num_repeats": [1, 1], "growth_rate": 8},
    "DINOV2": {**DINO, "position_embedding_shape": (96, 96)},
    "DINOV3": DINO,
    "EfficientNet": BLOCKS,
    "HGNetV2": {
        "depths": [1, 1],
        "embedding_size": 8,
        "hidden_sizes": [8, 16],
        "stem_channels": [3, 8, 8],
        "hidden_act": "relu",
        "use_learnable_affine_block": False,
        "stackwise_stage_filters": [(8, 8, 8, 1, 1, 3), (8, 8, 16, 1, 1, 3)],
        "apply_downsample": [False, True],
        "use_lightweight_conv_block": [False, False],
    },
    "MiT": {
        "image_shape": (SIDE, SIDE, 3),
        "layerwise_depths": [1, 1],
        "num_layers": 2,
        "layerwise_num_heads": [1, 2],
        "layerwise_sr_ratios": [2, 1],
        "max_drop_path_rate": 0.1,
        "layerwise_patch_sizes": [7, 3],
        "layerwise_strides": [4, 2],
        "hidden_dims": [8, 16],
    },
    "MobileNet": MOBILE,
    "ResNet": {
        "input_conv_filters": [64],
        "input_conv_kernel_sizes": [7],
        "stackwise_num_filters": [64, 16],
        "stackwise_num_blocks": [1, 1],
        "stackwise_num_strides": [1, 2],
        "block_type": "basic_block",
    },
    "SigLIP": {},
    "VGG": {"stackwise_num_repeats": [1, 1], "stackwise_num_filters": [8, 16]},
    "ViT": {**TRANSFORMER, **SQUARE, "mlp_dim": 32},
    "Xception": {"stackwise_conv_filters": [[8, 8], [16, 16]], "stackwise_pooling": [True, False]},
}


def make_backbone_of(kind):
    """A tiny KerasHub backbone of a kind, with random values in every variable that starts with zeros."""
    import keras
    import keras_hub
    import numpy as np

    keras.utils.set_random_seed(7)
    backbone = _siglip() if kind == "SigLIP" else getattr(keras_hub.models, f"{kind}Backbone")(**SIZES[kind])
    random = np.random.default_rng(7)
    for variable in backbone.weights:
        if not variable.numpy().any() and variable.dtype == "float32":
            variable.assign(random.normal(0.0, 0.05, variable.shape))
    return backbone


def _siglip():
    import keras_hub

    size = {"num_layers": 2, "num_heads": 2, "hidden_dim": WIDTH, "intermediate_dim": 32}
    seen = keras_hub.models.SigLIPVisionEncoder(**SQUARE, **size)
    read = keras_hub.models.SigLIPTextEncoder(
        vocabulary_size=11, embedding_dim=WIDTH, max_sequence_length=8, projection_dim=WIDTH, **size
    )
    return keras_hub.models.SigLIPBackbone(vision_encoder=seen, text_encoder=read)


def write_preset(kind, folder, converter=None):
    """Writes a tiny preset; with an image converter of these arguments, where given. The folder as a text."""
    import keras_hub

    backbone = make_backbone_of(kind)
    backbone.save_to_preset(str(folder))
    if converter is not None:
        made = getattr(keras_hub.layers, f"{kind}ImageConverter")(**converter)
        made.save_to_preset(str(folder))
    return str(folder)


if __name__ == "__main__":
    for name in SIZES:
        write_preset(name, Path(sys.argv[1]) / name)
