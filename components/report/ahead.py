"""What takes long and leaves Python to others: made in a thread, while sections are gathered and pictures are drawn.

Its libraries are loaded here, by the thread that imports this module: two threads that load packages which load one
another would find halves of modules.
"""

from __future__ import annotations

import scipy.linalg
import scipy.optimize
import scipy.sparse.csgraph
import scipy.special
import scipy.stats  # noqa: F401
import sklearn.decomposition
import sklearn.manifold
import sklearn.neighbors  # noqa: F401

import components.contract.artifacts
import components.evaluator.kept_features
import components.files.records
import components.trainer.features.store  # noqa: F401
from components.report.inputs import ReportInputs
from components.report.sections.label_errors import judge_labels
from components.report.sections.map import place_images, project_images


def make_numbers(inputs: ReportInputs) -> None:
    """Makes what sections ask for by `inputs.once`; an error is raised again where a section asks.

    One after the other: how many threads NumPy's libraries take is a setting of the process, which decides the last
    bits of what they give, and both label errors and the map set it.
    """
    for make in (judge_labels, project_images, place_images):
        inputs.once(make)
