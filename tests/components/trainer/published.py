"""Weights files in the layout of those that Keras publishes."""

from pathlib import Path

import h5py


def write_legacy(model, path: Path):
    """The layout of the files that Keras publishes: layers in order, weights under their names."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{weight.name}:0".encode() for weight in layer.weights]
            group.attrs["weight_names"] = names
            for name, weight in zip(names, layer.weights, strict=True):
                group[name.decode()] = weight.numpy()
