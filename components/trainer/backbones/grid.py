"""What a backbone gives: feature maps or vectors; and how tokens become feature maps."""

from __future__ import annotations

import keras


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
