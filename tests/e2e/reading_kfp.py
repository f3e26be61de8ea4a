"""Reads a compiled pipeline as a user of kfp does, and prints what came of it. Run by the Python of an environment of
its own, which knows kfp and kfp-kubernetes but not Graft: `python reading_kfp.py PIPELINE.yaml FOLDER`.
"""

import importlib.metadata
import json
import sys
from pathlib import Path

import yaml
from google.protobuf import json_format
from kfp import compiler, components
from kfp.kubernetes import kubernetes_executor_config_pb2 as kubernetes
from kfp.pipeline_spec import pipeline_spec_pb2


def main(path: Path, folder: Path) -> None:
    spec, platform = yaml.safe_load_all(path.read_text("utf-8"))
    compiler.Compiler().compile(components.load_component_from_file(str(path)), str(folder / "again.yaml"))
    spec_again, platform_again = yaml.safe_load_all((folder / "again.yaml").read_text("utf-8"))
    executors = platform["platforms"]["kubernetes"]["deploymentSpec"]["executors"]
    parsed = {
        name: json_format.MessageToDict(json_format.ParseDict(content, kubernetes.KubernetesExecutorConfig()))
        for name, content in executors.items()
    }
    found = {
        "versions": {name: importlib.metadata.version(name) for name in ("kfp", "kfp-kubernetes")},
        "same spec": normal(spec_again) == normal(spec),
        "same platform": platform_again == platform,
        "executors": parsed,
    }
    print(json.dumps(found))


def normal(spec: dict) -> dict:
    """Through the proto, which knows what is a default; unknown fields are an error."""
    return json_format.MessageToDict(json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec()))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
