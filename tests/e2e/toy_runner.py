"""A Beam runner that is in no table of Graft's: its full name in the configuration is enough."""

import os

from apache_beam.runners.portability.fn_api_runner import FnApiRunner


class ToyRunner(FnApiRunner):
    """Runs pipelines in the process of the node, and writes down that it did."""

    def run_pipeline(self, pipeline, options):
        with open(os.environ["TOY_RUNNER"], "a") as file:
            file.write("a pipeline\n")
        return super().run_pipeline(pipeline, options)
