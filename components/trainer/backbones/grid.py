"""What a backbone gives: feature maps or vectors; how tokens become feature maps, and the class token a feature."""

from __future__ import annotations

import keras

from components.errors import InputError
from components.options.trainer import OF_CLASS, Pooling


def shape_of(model: keras.Model) -> tuple[int, ...]:
    """Shape of a model's output without the batch: (h, w, d) or (d,).

    Raises:
        RuntimeError: a family gives something else.
    """
    shape = tuple(model.output_shape[1:]) if isinstance(model.output_shape, tuple) else ()
    if len(shape) not in (1, 3) or None in shape:
        raise RuntimeError(
            f"Expected a backbone that gives [batch, h, w, d] or [batch, d], its family built one that gives "
            f"{model.output_shape}.\nFor tokens there is tokens_to_maps in components/trainer/backbones/grid.py."
        )
    return tuple(int(side) for side in shape)


def tokens_to_maps(
    network: keras.Model, image_size: tuple[int, int], places: tuple[int, int], extra: int
) -> keras.Model:
    """Wraps a network so that its tokens come out as feature maps.

    Args:
        network: from pixels float32 [batch, height, width, 3] to tokens [batch, extra + h * w, d], row by row; or to
            these and a vector [batch, d] that sums the image up.
        image_size: height and width in pixels.
        places: h and w.
        extra: tokens before those of the places, such as class and register tokens; they are left out.

    Returns:
        A model from the same pixels to [batch, h, w, d], whose only layers with weights are those of the network. Its
        `class_token` is the vector, else the first of the extra tokens: [batch, d]; None where there is neither.

    Raises:
        ValueError: the network gives another number of tokens.
    """
    pixels = keras.Input((*image_size, 3), name="pixels")
    given = network(pixels)
    tokens, vector = given if isinstance(given, (list, tuple)) else (given, None)
    expected = extra + places[0] * places[1]
    if len(tokens.shape) != 3 or tokens.shape[1] != expected:
        raise ValueError(f"expected tokens [batch, {expected}, d], got {tuple(tokens.shape)}")
    maps = keras.ops.reshape(tokens[:, extra:], (-1, *places, tokens.shape[2]))
    model = keras.Model(pixels, maps, name=f"{network.name}_maps")
    token = tokens[:, 0] if vector is None and extra else vector
    # Traced, a network may forget how wide its tokens are.
    model.class_token = None if token is None else keras.ops.reshape(token, (-1, token.shape[-1]))
    return model


def take_class_token(model: keras.Model, name: str, pooling: Pooling) -> keras.Model:
    """Gives what is pooled of a network: for `cls` its class token, for `cls+avg` its maps with the token beside.

    Args:
        model: of a family.
        name: as `trainer.backbone` has it, for errors.
        pooling: others leave the model as it is.

    Returns:
        A model to vectors [batch, d], or to maps [batch, h, w, 2 d], the second half the same at each place: its mean
        is the token itself.

    Raises:
        InputError: the network has no class token.
    """
    if pooling not in OF_CLASS:
        return model
    token = getattr(model, "class_token", None)
    if token is None:
        raise InputError(
            f"trainer.pooling: '{pooling}' takes the class token of a transformer, and {name} has none.\n"
            "Use avg, max or both."
        )
    if pooling == "cls":
        return keras.Model(model.inputs[0], token, name=f"{model.name}_class")
    places = keras.ops.zeros_like(model.output) + token[:, None, None]  # tiled, it would lose its shape where traced
    return keras.Model(
        model.inputs[0], keras.ops.concatenate([model.output, places], axis=-1), name=f"{model.name}_both"
    )
