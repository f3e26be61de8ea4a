"""Features in two dimensions, and what their neighbourhoods tell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

FEWEST = 6  # images: with fewer there is nothing to arrange
REDUCED = 50  # values an image that neighbours are told by
PERPLEXITY = 30.0  # about so many neighbours count
ITERATIONS = 400
ANGLE = 0.8  # below it far images count as one; the usual 0.5 takes a quarter longer and arranges no better
NEIGHBOURS = 5
SEED = 0


@dataclass(frozen=True)
class Projection:
    """Images on a plane.

    Attributes:
        places: float [n, 2], 0..1.
        nearest: int [n], index of the image that is most alike.
        remoteness: float [n], mean distance to the `NEIGHBOURS` most alike images, where 1 is the median.
    """

    places: np.ndarray
    nearest: np.ndarray
    remoteness: np.ndarray


def project(values: np.ndarray) -> Projection | None:
    """Arranges images so that neighbours are alike: t-SNE (van der Maaten and Hinton, 2008) on principal components.

    Args:
        values: float32 [n, d], finite features; some 1,000 images take a second.

    Returns:
        The plane; None where there are too few images, or all are the same.
    """
    from sklearn.decomposition import PCA
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    count = len(values)
    if count < FEWEST or np.ptp(values, axis=0).max() == 0:
        return None
    width = min(REDUCED, count - 1, values.shape[1])
    reduced = PCA(width, svd_solver="randomized", random_state=SEED).fit_transform(values)
    perplexity = min(PERPLEXITY, (count - 1) / 3)
    settings = {"max_iter": ITERATIONS, "angle": ANGLE, "init": "pca" if width > 1 else "random", "random_state": SEED}
    with threadpool_limits(1):  # its threads wait for one another: on a busy machine two took four times as long
        places = TSNE(2, perplexity=perplexity, **settings).fit_transform(reduced.astype(np.float32))
    low, spread = places.min(axis=0), np.ptp(places, axis=0)
    return Projection((places - low) / np.where(spread > 0, spread, 1), *find_neighbours(reduced))


def find_neighbours(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds of each image the one most alike, int [n], and its remoteness, float [n]; `values` are float [n, d]."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(values) - 1)).fit(values)
    distances, indices = found.kneighbors()  # without an argument no image is its own neighbour
    mean = distances.mean(axis=1)
    return indices[:, 0], mean / (np.median(mean) or mean.max() or 1.0)
