"""`graft serve`."""

from __future__ import annotations

from typing import Annotated

import typer

from pipeline.cli.app import app
from pipeline.cli.common import Candidate, CandidateRun, choose_model

EXAMPLE = "Examples: graft serve work/sample; graft serve work/sample/serving/1764000000 --port 9000 --name digits"


@app.command(epilog=EXAMPLE)
def serve(
    model: Annotated[
        str,
        typer.Argument(help="Working or serving directory: its served version, also when that changes; or a version."),
    ],
    host: Annotated[
        str, typer.Option(help="Address to listen on; others than this machine need 0.0.0.0.")
    ] = "127.0.0.1",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="A name that clients may use in their Host header besides localhost, addresses and --host; several "
            "times for several; * for any.",
        ),
    ] = None,
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8501,
    name: Annotated[str, typer.Option(help="Of the model in URLs. Default: the pipeline's name.")] = "",
    max_request_mb: Annotated[int, typer.Option(min=1, help="Largest request body, in MB.")] = 32,
    max_requests: Annotated[int, typer.Option(min=1, help="Requests under way at once; more get 503.")] = 256,
    examples: Annotated[
        bool, typer.Option("--examples", help="The page shows images of the eval split to whoever opens it.")
    ] = False,
    collect: Annotated[
        str,
        typer.Option(
            metavar="DIR",
            help="The page lets people give the right label; images and DIR/manifest.csv are data for the next run. "
            "Default: nothing is kept.",
        ),
    ] = "",
    batch_size: Annotated[int, typer.Option(min=1, help="Requests that the model answers at once.")] = 32,
    candidate: Candidate = False,
    run: CandidateRun = "",
) -> None:
    """Serves a model on this machine: TensorFlow Serving's REST interface, and a page to try it on.

    GET /v1/models/NAME, POST /v1/models/NAME:predict, GET /healthz. A promoted version takes over without a pause.
    """
    chosen = choose_model(model, candidate, run)
    from pipeline.process.progress import quiet_tensorflow

    quiet_tensorflow()

    from pipeline.serve.corrections import Corrections
    from pipeline.serve.intake import IntakeLimits
    from pipeline.serve.page_api import Extras
    from pipeline.serve.server import Address, serve

    address = Address(host, port, tuple(allowed_host or ()))
    limits = IntakeLimits(request_bytes=max_request_mb << 20, requests=max_requests)
    called = name or chosen.name
    extras = Extras(examples, Corrections.open(collect) if collect else None, chosen.notice)
    serve(chosen.path, address, called, limits, batch_size, lambda line: print(line, flush=True), extras)
