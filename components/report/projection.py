"""Features in two dimensions, and what their neighbourhoods tell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

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
    """Images among one another, and on a plane.

    Attributes:
        reduced: float [n, k], principal components of the features, which neighbours are told by.
        nearest: int [n], index of the image that is most alike.
        remoteness: float [n], mean distance to the `NEIGHBOURS` most alike images, where 1 is the median.
    """

    reduced: np.ndarray
    nearest: np.ndarray
    remoteness: np.ndarray

    @cached_property
    def places(self) -> np.ndarray:
        """Where the images lie, float [n, 2], 0..1: t-SNE (van der Maaten and Hinton, 2008); 1,000 take a second."""
        from sklearn.manifold import TSNE
        from threadpoolctl import threadpool_limits

        count, width = self.reduced.shape
        settings = {"max_iter": ITERATIONS, "angle": ANGLE, "init": "pca" if width > 1 else "random"}
        perplexity = min(PERPLEXITY, (count - 1) / 3)
        with threadpool_limits(1):  # its threads wait for one another: on a busy machine two took four times as long
            tsne = TSNE(2, perplexity=perplexity, random_state=SEED, **settings)
            places = tsne.fit_transform(self.reduced.astype(np.float32))
        low, spread = places.min(axis=0), np.ptp(places, axis=0)
        return (places - low) / np.where(spread > 0, spread, 1)


def project(values: np.ndarray) -> Projection | None:
    """Finds the neighbours of images; where they lie on the plane is computed when it is first asked for.

    Args:
        values: float32 [n, d], finite features.

    Returns:
        The projection; None where there are too few images, or all are the same.
    """
    from sklearn.decomposition import PCA

    count = len(values)
    if count < FEWEST or np.ptp(values, axis=0).max() == 0:
        return None
    width = min(REDUCED, count - 1, values.shape[1])
    reduced = PCA(width, svd_solver="randomized", random_state=SEED).fit_transform(values)
    return Projection(reduced, *find_neighbours(reduced))


def find_neighbours(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Finds of each image the one most alike, int [n], and its remoteness, float [n]; `values` are float [n, d]."""
    from sklearn.neighbors import NearestNeighbors

    found = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(values) - 1)).fit(values)
    distances, indices = found.kneighbors()  # without an argument no image is its own neighbour
    mean = distances.mean(axis=1)
    return indices[:, 0], mean / (np.median(mean) or mean.max() or 1.0)
