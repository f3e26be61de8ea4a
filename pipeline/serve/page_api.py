"""What the page asks for beside predictions: facts of a version, example images, and room for corrections."""

from __future__ import annotations

import asyncio
import binascii
import threading
from base64 import b64decode
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pipeline.predict.reading import check_image
from pipeline.serve.corrections import Correction, Corrections, settle_label
from pipeline.serve.examples import Example, Examples, find_examples
from pipeline.serve.host import Host
from pipeline.serve.intake import Intake
from pipeline.serve.loading import LoadedVersion
from pipeline.serve.replies import IMAGE_HEADERS, refusing
from pipeline.serve.rest import LARGEST_VERSION, invalid, not_found
from pipeline.serve.tensors import parse_body

KEPT = 2  # versions whose examples are in memory


@dataclass(frozen=True)
class Extras:
    """What the page offers only where whoever starts the server says so.

    Attributes:
        examples: whether it shows images of the eval split.
        corrections: where corrections go; None: nowhere.
        notice: what page, health and metadata say of a model that was not pushed.
    """

    examples: bool = False
    corrections: Corrections | None = None
    notice: str = ""


@dataclass
class PageApi:
    """Answers for the page."""

    host: Host
    intake: Intake
    pool: ThreadPoolExecutor
    extras: Extras = field(default_factory=Extras)
    _found: dict[int, Examples] = field(default_factory=dict)
    _finding: threading.Lock = field(default_factory=threading.Lock)

    def routes(self) -> list[Route]:
        """Lists the paths."""
        readings = {
            "/page/about/{version:int}": self.about,
            "/page/examples/{version:int}": self.list_examples,
            "/page/examples/{version:int}/{number:int}": self.show_example,
            "/page/examples/{version:int}/{number:int}/small": self.show_small,
        }
        return [
            *(Route(path, refusing(handler)) for path, handler in readings.items()),
            Route("/page/corrections", refusing(self.correct), methods=["POST"]),
        ]

    async def about(self, request: Request) -> Response:
        """Answers what is known of a version."""
        loaded = self._version(request)
        facts = {name: value for name, value in loaded.about.items() if name != "manifest_sha256"}
        return JSONResponse(
            {
                **facts,
                "version": loaded.number,
                "classes": loaded.names,
                "signatures": sorted(loaded.specs),
                "crop": loaded.crop,
                "upright": loaded.limits.upright,
                "examples": self.extras.examples,
                "collects": self.extras.corrections is not None,
            }
        )

    async def list_examples(self, request: Request) -> Response:
        """Answers with the classes of a version's examples, in the order of their numbers; or why there are none."""
        found = await self._examples(self._version(request))
        return JSONResponse({"problem": found.problem, "labels": [example.label for example in found.images]})

    async def show_example(self, request: Request) -> Response:
        """Answers with an example as it is stored."""
        example = await self._example(request)
        return Response(example.content, media_type=f"image/{example.form}", headers=IMAGE_HEADERS)

    async def show_small(self, request: Request) -> Response:
        """Answers with a thumbnail of an example."""
        example, upright = await self._example(request), self._version(request).limits.upright
        content = await asyncio.get_running_loop().run_in_executor(self.pool, example.thumbnail, upright)
        return Response(content, media_type="image/png", headers=IMAGE_HEADERS)

    async def _example(self, request: Request) -> Example:
        loaded, number = self._version(request), request.path_params["number"]
        found = (await self._examples(loaded)).images
        if number >= len(found):
            raise not_found(f"Version {loaded.number} has {len(found)} example images, counted from 0")
        return found[number]

    def _version(self, request: Request) -> LoadedVersion:
        return self.host.get(self.host.name, request.path_params["version"])

    async def _examples(self, loaded: LoadedVersion) -> Examples:
        if not self.extras.examples:
            raise not_found("This server shows no example images: start it with `graft serve MODEL --examples`")
        return await asyncio.get_running_loop().run_in_executor(self.pool, self._find, loaded)

    def _find(self, loaded: LoadedVersion) -> Examples:
        with self._finding:
            if loaded.number not in self._found:
                while len(self._found) >= KEPT:
                    del self._found[next(iter(self._found))]
                found = find_examples(self.host.serving, loaded.about.get("manifest_sha256"), loaded.names)
                self._found[loaded.number] = found
            return self._found[loaded.number]

    async def correct(self, request: Request) -> Response:
        """Takes the right label of an image: `image` in base64, `label`, and `predicted` by `version`."""
        with self.intake.body() as body:
            content = await body.read(request, self.pool)
            with self.intake.admitted():
                loop = asyncio.get_running_loop()
                return JSONResponse(await loop.run_in_executor(self.pool, self._correct, content))

    def _correct(self, body: bytes) -> dict[str, Any]:
        corrections = self.extras.corrections
        if corrections is None:
            raise not_found("This server takes no corrections: start it with `graft serve MODEL --collect DIR`")
        current = self.host.get(self.host.name)
        correction = read_correction(parse_body(body))
        limits = replace(current.limits, max_pixels=self.intake.limits.pixels)
        if error := check_image("", correction.content, limits).error:
            raise invalid(f"image: {error}")
        recorded = corrections.record(correction, current.names)
        return {
            "label": recorded.label,
            "replaced": recorded.replaced,
            "images": recorded.images,
            "is_new": recorded.label not in current.names,
        }


def read_correction(document: dict[str, Any]) -> Correction:
    """Reads a correction from the JSON object of a request.

    Raises:
        ServingError: 400, a value is missing or is none of its kind.
    """
    image, label, predicted = (document.get(name) for name in ("image", "label", "predicted"))
    version = document.get("version")
    if not isinstance(image, str) or not isinstance(label, str) or not isinstance(predicted, str):
        raise invalid("expected the texts image (base64), label and predicted")
    if not isinstance(version, int) or isinstance(version, bool) or not 0 <= version <= LARGEST_VERSION:
        raise invalid("expected version, the number of the version that predicted")
    try:
        content = b64decode(image, validate=True)
    except (ValueError, binascii.Error) as error:
        raise invalid("image: expected base64") from error
    return Correction(content, label, settle_label(predicted), version)
