"""The web application: TensorFlow Serving's REST interface, a health page, and the page to try the model on."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from components.contract import features
from components.errors import first_line
from components.images.findings import ImageLimits
from pipeline.predict.reading import check_image
from pipeline.serve import tensors
from pipeline.serve.batcher import Batcher, PendingRequest
from pipeline.serve.health import Health
from pipeline.serve.host import Host
from pipeline.serve.intake import LEAST_PIXELS, Intake
from pipeline.serve.loading import LoadedVersion, pack_examples, unpack_examples
from pipeline.serve.page_api import Extras, PageApi
from pipeline.serve.replies import CLIENT_GONE, PAGE_HEADERS, refusal
from pipeline.serve.rest import RestTarget, ServingError, invalid, parse_target

PAGE_FOLDER = Path(__file__).with_name("page")
CONTENT_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}


@dataclass
class Service:
    """All that a request needs: the versions, the queue, the limits, extras, and threads for what takes time."""

    host: Host
    batcher: Batcher
    intake: Intake
    extras: Extras = field(default_factory=Extras)
    health: Health = field(default_factory=Health)
    pool: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(4, "graft-parse"))

    async def answer(self, request: Request) -> Response:
        """Answers any request under `/v1/`."""
        try:
            target = parse_target(request.method, request.scope["raw_path"].decode("ascii", "replace"))
            if target.method == "status":
                return JSONResponse(self.host.status(*target[:3]))
            if target.method == "metadata":
                return JSONResponse(describe_metadata(self.host, target))
        except ServingError as error:
            return refusal(error)
        started = time.monotonic()
        response = await self._predict_or_refuse(request, target)
        self.health.count(response.status_code, time.monotonic() - started)
        return response

    async def _predict_or_refuse(self, request: Request, target: RestTarget) -> Response:
        try:
            with self.intake.body() as body:
                content = await body.read(request, self.pool)
                with self.intake.admitted():
                    return await self._predict(content, target)
        except ServingError as error:
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=CLIENT_GONE)

    async def _predict(self, body: bytes, target: RestTarget) -> Response:
        loaded = self.host.get(target.name, target.version, target.label)
        if target.method != "predict":
            wanted = f"tensorflow/serving/{target.method}"
            raise invalid(
                f"Expected {target.method} signature method_name to be {wanted}. Was: tensorflow/serving/predict"
            )
        loop = asyncio.get_running_loop()
        job, in_rows = await loop.run_in_executor(self.pool, self.parse, body, loaded)
        del body, loaded  # the job holds what is needed of them
        parts = self.batcher.submit(job)
        answers = await asyncio.gather(*(asyncio.wrap_future(part.answer) for part in parts))
        outputs = {name: np.concatenate([answer[name] for answer in answers]) for name in answers[0]}
        content = await loop.run_in_executor(self.pool, tensors.format_answer, outputs, in_rows)
        return Response(content, media_type="application/json")

    def parse(self, body: bytes, loaded: LoadedVersion) -> tuple[PendingRequest, bool]:
        """Reads a body into work for the model, with images checked and converted as for training.

        Raises:
            ServingError: 400, says which row is wrong and why.
        """
        document = tensors.parse_body(body)
        signature = tensors.signature_name(document)
        request = tensors.parse_request(document, loaded.inputs_of(signature))
        inputs = dict(request.inputs)
        if features.INPUT_BYTES in inputs:
            rows = inputs[features.INPUT_BYTES]
            inputs[features.INPUT_BYTES] = self._check_images(rows, features.INPUT_BYTES, loaded.limits)
        elif features.INPUT_EXAMPLES in inputs:
            images = unpack_examples(inputs[features.INPUT_EXAMPLES])
            checked = self._check_images(images, features.INPUT_EXAMPLES, loaded.limits)
            inputs[features.INPUT_EXAMPLES] = pack_examples(checked)
        return PendingRequest(loaded, signature, inputs), request.in_rows

    def _check_images(self, images: Sequence[bytes] | np.ndarray, name: str, taken: ImageLimits) -> np.ndarray:
        limits = replace(taken, max_pixels=self.intake.limits.pixels)
        checked, left = np.empty(len(images), object), self.intake.limits.total_pixels
        for index, content in enumerate(images):
            image = check_image("", content, limits)
            left -= max(image.pixels, LEAST_PIXELS)
            error = image.error or (left < 0 and self._say_too_many())
            if error:
                raise tensors.element_error(index, name, error)
            checked[index] = image.content
        return checked

    def _say_too_many(self) -> str:
        most = self.intake.limits.total_pixels
        return (
            f"more than {most:,} pixels in the images of one request, each counted as {LEAST_PIXELS:,} at least. "
            "Send several requests."
        )

    async def healthz(self, _: Request) -> Response:
        """Answers whether the server is live and ready, with a few figures."""
        found = self.health.describe(self.host, self.batcher, self.intake)
        return _plain_json(found, 200 if found["ready"] else 503)

    def page_routes(self) -> list[Route]:
        """Lists the paths of what the page asks for beside predictions."""
        return PageApi(self.host, self.intake, self.pool, self.extras).routes()

    async def live(self, _: Request) -> Response:
        """Answers that the process is there."""
        return _plain_json({"live": True})

    async def ready(self, _: Request) -> Response:
        """Answers whether a version is loaded."""
        ready = self.host.current is not None
        return _plain_json({"ready": ready}, 200 if ready else 503)


def describe_metadata(host: Host, target: RestTarget) -> dict[str, Any]:
    """Gives a `GetModelMetadataResponse` as JSON.

    Raises:
        ServingError: no such model.
    """
    loaded = host.get(target.name, target.version, target.label)
    said = {"graft": {"candidate": host.notice}} if host.notice else {}
    return {
        "model_spec": {"name": host.name, "signature_name": "", "version": str(loaded.number)},
        "metadata": {"signature_def": {"signature_def": loaded.signature_defs}, **said},
    }


def _plain_json(content: dict[str, Any], status: int = 200) -> Response:
    return Response(json.dumps(content, indent=1) + "\n", status, media_type="application/json")


async def _fail(_: Request, error: Exception) -> Response:
    """Answers with a fault of the server, in the form of all errors; Starlette has logged it."""
    return refusal(ServingError(500, f"{type(error).__name__}: {first_line(error)}"))


def _page(path: Path) -> Route:
    content, headers = (
        path.read_bytes(),
        PAGE_HEADERS | {"Content-Type": f"{CONTENT_TYPES[path.suffix]}; charset=utf-8"},
    )

    async def show(_: Request) -> Response:
        return Response(content, headers=headers)

    return Route("/" if path.name == "index.html" else f"/page/{path.name}", show)


def create_app(service: Service) -> Starlette:
    """Makes the application around a service, whose host is started by its owner."""
    return Starlette(
        routes=[
            *(_page(path) for path in sorted(PAGE_FOLDER.iterdir())),
            *service.page_routes(),
            Route("/healthz", service.healthz),
            Route("/healthz/live", service.live),
            Route("/healthz/ready", service.ready),
            Route("/v1/{rest:path}", service.answer, methods=["GET", "POST", "PUT", "DELETE", "PATCH"]),
        ],
        exception_handlers={Exception: _fail},
    )
