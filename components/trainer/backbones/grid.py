"""Tokens as places of an image: how networks that are no convolutions get feature maps."""

from __future__ import annotations

import keras


def tokens_to_maps(
    network: keras.Model, image_size: tuple[int, int], places: tuple[int, int], extra: int
) -> keras.Model:
    """Wraps a network so that its tokens come out as feature maps.

    Args:
        network: from pixels float32 [batch, height, width, 3] to tokens [batch, extra + h * w, d], row by row.
        image_size: height and width in pixels.
        places: h and w.
        extra: tokens before those of the places, such as class and register tokens; they are left out.

    Returns:
        A model from the same pixels to [batch, h, w, d], whose only layers with weights are those of the network.

    Raises:
        ValueError: the network gives another number of tokens.
    """
    pixels = keras.Input((*image_size, 3), name="pixels")
    tokens = network(pixels)
    expected = extra + places[0] * places[1]
    if len(tokens.shape) != 3 or tokens.shape[1] != expected:
        raise ValueError(f"expected tokens [batch, {expected}, d], got {tuple(tokens.shape)}")
    maps = keras.ops.reshape(tokens[:, extra:], (-1, *places, tokens.shape[2]))
    return keras.Model(pixels, maps, name=f"{network.name}_maps")
