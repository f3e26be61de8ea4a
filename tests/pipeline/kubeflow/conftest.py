"""A configuration that compiles, and what it compiles to."""

import copy

import pytest

from pipeline.config import Config
from pipeline.kubeflow.checks import Target

SECTIONS = {
    "name": "night",
    "data": {"path": "/mnt/graft/photos"},
    "trainer": {"weights": "none"},
    "kubeflow": {
        "image": "registry.example/graft:0.1",
        "pipeline_root": "gs://bucket/root",
        "volumes": [{"claim": "graft", "mount_path": "/mnt/graft"}],
    },
}
VERTEX = {"kubeflow": {"workdir": "/gcs/bucket/graft", "data_path": "/gcs/bucket/photos", "volumes": []}}


def make_config(target: Target = Target.KFP, **sections) -> Config:
    """The configuration above for a target, with more options a section."""
    content = copy.deepcopy(SECTIONS)
    for more in (VERTEX if target is Target.VERTEX else {}, sections):
        for name, options in more.items():
            content[name] = {**content.get(name, {}), **options} if isinstance(options, dict) else options
    return Config.model_validate(content)


@pytest.fixture(scope="session")
def compiled():
    """The pipeline of the configuration for each target."""
    from pipeline.kubeflow.compile import compile_config

    return {target: compile_config(make_config(target), target) for target in Target}
