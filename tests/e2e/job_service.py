"""Beam's portable job service and its pool of external workers, with two worker processes a job.

Beam's own `local_job_service_main` runs each job with one worker: its runner never reads `--direct_num_workers`. Here
the runner is told. Prints two lines: the job service's address and the pool's. Usage: python job_service.py LOG
"""

import socket
import sys
import time

from apache_beam.runners.portability import local_job_service
from apache_beam.runners.portability.fn_api_runner import fn_runner
from apache_beam.runners.worker import worker_pool_main

WORKERS = 2


class Runner(fn_runner.FnApiRunner):
    """A runner with two workers for every environment."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._num_workers = WORKERS


class Pool(worker_pool_main.BeamFnExternalWorkerPoolServicer):
    """Notes each worker that it starts, and for which job service."""

    def StartWorker(self, request, context):  # noqa: N802  gRPC's name
        with open(sys.argv[1], "a", encoding="utf-8") as file:
            file.write(f"{request.worker_id} {request.control_endpoint.url}\n")
        return super().StartWorker(request, context)


if __name__ == "__main__":
    fn_runner.FnApiRunner = Runner
    # Workers are told this machine's name, which not every machine can look up (one without /etc/hosts, for one).
    socket.getfqdn = lambda name="": "localhost"
    service = local_job_service.LocalJobServicer(staging_dir=None)
    port = service.start_grpc_server(0)
    address, server = Pool.start(use_process=True)
    print(f"localhost:{port}\n{address}", flush=True)
    time.sleep(3600)
