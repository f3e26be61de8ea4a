"""A version that answers with its number, and servers in threads."""

import threading
import time
from contextlib import contextmanager

import numpy as np

from pipeline.serve.app import Service, create_app
from pipeline.serve.batcher import Batcher
from pipeline.serve.guard import Guard, Hosts
from pipeline.serve.intake import Intake, IntakeLimits
from pipeline.serve.loading import LoadedVersion
from pipeline.serve.page_api import Extras
from pipeline.serve.server import web_server
from pipeline.serve.tensors import Spec


class FakeVersion(LoadedVersion):
    """`echo` gives each row of `x` back, with the number of the version; a row of -1 fails. Remembers its batches."""

    def __init__(self, number=1, dtype="float32"):
        super().__init__(number, ["a", "b"], {"serving_default": {"x": Spec(dtype, (-1,))}}, {}, {})
        self.batches = []
        self.gate = threading.Event()
        self.gate.set()

    def run(self, signature, inputs):
        self.gate.wait(30)
        self.batches.append(len(inputs["x"]))
        if -1 in inputs["x"]:
            raise ValueError("a row of -1")
        return {"y": inputs["x"], "version": np.full(len(inputs["x"]), self.number)}


class FixedHost:
    """A host of one version, under the name `m`."""

    name = "m"
    problem = ""
    notice = ""
    reloads = 0

    def __init__(self, version=None):
        self.current = version or FakeVersion()

    def get(self, *_):
        return self.current

    def status(self, *_):
        return {}


@contextmanager
def running(host, limits=None, max_batch=8, hosts=None, extras=None):
    """A server around a host; gives its URL and the service."""
    limits = limits or IntakeLimits()
    batcher = Batcher(max_batch, 1000)
    service = Service(host, batcher, Intake(limits), extras or Extras())
    server = web_server(Guard(create_app(service), hosts or Hosts()), limits)
    server.config.port = 0
    thread = threading.Thread(target=server.run)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}", service
    finally:
        server.should_exit = True
        thread.join()
        batcher.close()
