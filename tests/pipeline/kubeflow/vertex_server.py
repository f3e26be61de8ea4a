"""Vertex AI's pipeline and schedule services on this machine: a gRPC server with the published messages.

What is real: the client, its messages, the wire. What is not: the services' own checks, and Google's authentication.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from google.cloud.aiplatform_v1 import types
from google.longrunning import operations_pb2
from google.protobuf import empty_pb2

PACKAGE = "google.cloud.aiplatform.v1"


class VertexServer:
    def __init__(self) -> None:
        self.jobs: dict[str, types.PipelineJob] = {}
        self.schedules: dict[str, types.Schedule] = {}
        self.calls: list[str] = []
        self.fault: Callable[[str], grpc.StatusCode | None] = lambda method: None
        self.most_active = 0
        self.port = 0

    def active(self) -> list[types.Schedule]:
        return [one for one in self.schedules.values() if one.state == types.Schedule.State.ACTIVE]

    @contextmanager
    def running(self) -> Iterator[VertexServer]:
        server = grpc.server(futures.ThreadPoolExecutor(max_workers=2))
        for service, methods in _METHODS.items():
            handlers = {name: self._handler(name, *rest) for name, rest in methods.items()}
            server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(f"{PACKAGE}.{service}", handlers),))
        self.port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield self
        finally:
            server.stop(0).wait()

    def _handler(self, name: str, request_type: Any, serializer: Any) -> grpc.RpcMethodHandler:
        def serve(request: Any, context: grpc.ServicerContext) -> Any:
            self.calls.append(name)
            code = self.fault(name)
            if code is not None:
                context.abort(code, f"injected {code.name}")
            answer = getattr(self, f"_{name}")(request, context)
            self.most_active = max(self.most_active, len(self.active()))
            return answer

        return grpc.unary_unary_rpc_method_handler(serve, request_type.deserialize, serializer)

    def _CreatePipelineJob(self, request: Any, context: Any) -> Any:  # noqa: N802
        name = f"{request.parent}/pipelineJobs/{request.pipeline_job_id}"
        if name in self.jobs:
            context.abort(grpc.StatusCode.ALREADY_EXISTS, f"{name} exists")
        job = request.pipeline_job
        job.name, job.state = name, types.PipelineState.PIPELINE_STATE_PENDING
        self.jobs[name] = job
        return job

    def _GetPipelineJob(self, request: Any, context: Any) -> Any:  # noqa: N802
        if request.name not in self.jobs:
            context.abort(grpc.StatusCode.NOT_FOUND, f"{request.name} not found")
        return self.jobs[request.name]

    def _CreateSchedule(self, request: Any, context: Any) -> Any:  # noqa: N802
        schedule = request.schedule
        schedule.name = f"{request.parent}/schedules/{len(self.calls)}"
        schedule.state = types.Schedule.State.ACTIVE
        self.schedules[schedule.name] = schedule
        return schedule

    def _ListSchedules(self, request: Any, context: Any) -> Any:  # noqa: N802
        rows, start = list(reversed(self.schedules.values())), int(request.page_token or 0)
        token = str(start + 2) if start + 2 < len(rows) else ""  # small: pages count
        return types.ListSchedulesResponse(schedules=rows[start : start + 2], next_page_token=token)

    def _GetSchedule(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.schedules[request.name]

    def _PauseSchedule(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.schedules[request.name].state = types.Schedule.State.PAUSED
        return empty_pb2.Empty()

    def _ResumeSchedule(self, request: Any, context: Any) -> Any:  # noqa: N802
        self.schedules[request.name].state = types.Schedule.State.ACTIVE
        return empty_pb2.Empty()

    def _DeleteSchedule(self, request: Any, context: Any) -> Any:  # noqa: N802
        del self.schedules[request.name]
        done = operations_pb2.Operation(name=f"{request.name}/operations/1", done=True)
        done.response.Pack(empty_pb2.Empty())
        return done


def _plain(message: Any) -> bytes:
    return message.SerializeToString()


_METHODS: dict[str, dict[str, tuple[Any, Any]]] = {
    "PipelineService": {
        "CreatePipelineJob": (types.CreatePipelineJobRequest, types.PipelineJob.serialize),
        "GetPipelineJob": (types.GetPipelineJobRequest, types.PipelineJob.serialize),
    },
    "ScheduleService": {
        "CreateSchedule": (types.CreateScheduleRequest, types.Schedule.serialize),
        "ListSchedules": (types.ListSchedulesRequest, types.ListSchedulesResponse.serialize),
        "GetSchedule": (types.GetScheduleRequest, types.Schedule.serialize),
        "PauseSchedule": (types.PauseScheduleRequest, _plain),
        "ResumeSchedule": (types.ResumeScheduleRequest, _plain),
        "DeleteSchedule": (types.DeleteScheduleRequest, _plain),
    },
}
