"""A Kubeflow Pipelines API server on this machine, as far as `graft submit` and `graft schedule` use it.

Every request is checked against the published schema: bodies against the models of `kfp-server-api`, which are
generated from the API's swagger file, pipelines against the PipelineSpec proto. Faults are put in on demand.
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import kfp_server_api.models as models
from google.protobuf import json_format
from kfp.pipeline_spec import pipeline_spec_pb2

BASE = "/apis/v2beta1"
QUERY = {"page_token", "page_size", "sort_by", "filter", "namespace", "experiment_id"}
KINDS = {"experiments": "experiment_id", "runs": "run_id", "recurringruns": "recurring_run_id"}
MODELS = {"experiments": "V2beta1Experiment", "runs": "V2beta1Run", "recurringruns": "V2beta1RecurringRun"}
CODES = {400: 3, 401: 16, 403: 7, 404: 5, 409: 6, 500: 13, 503: 14}


@dataclass(frozen=True)
class Fault:
    """What goes wrong: a status, a connection that is cut, or silence; `carried_out`: it takes effect all the same."""

    status: int = 0
    cut: bool = False
    silent: bool = False
    carried_out: bool = False
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)


class Refused(Exception):
    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status, self.message = status, message


class KfpServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.rows: dict[str, dict[str, dict[str, Any]]] = {kind: {} for kind in KINDS}
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.schema_errors: list[str] = []
        self.fault: Callable[[int, str, str], Fault | None] = lambda number, method, path: None
        self.on_request: Callable[[KfpServer], None] = lambda server: None
        self.namespaced = False
        self.page = 2  # small: pages count
        self.most_active: dict[str, int] = {}
        self.lock = threading.RLock()
        self.over = threading.Event()
        self._made = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def named(self, kind: str, name: str) -> list[dict[str, Any]]:
        return [row for row in self.rows[kind].values() if row["display_name"] == name]

    def active(self, name: str) -> list[dict[str, Any]]:
        return [row for row in self.named("recurringruns", name) if row["status"] == "ENABLED"]

    def add(self, kind: str, body: dict[str, Any]) -> dict[str, Any]:
        self._made += 1
        created = datetime(2026, 1, 1, tzinfo=timezone.utc) + timedelta(seconds=self._made)
        row = {**body, KINDS[kind]: f"{kind}-{self._made}", "created_at": created.strftime("%Y-%m-%dT%H:%M:%SZ")}
        if kind == "runs":
            row.setdefault("state", "PENDING")
        if kind == "recurringruns":
            row["status"] = "ENABLED" if row.get("mode") == "ENABLE" else "DISABLED"
        self.rows[kind][row[KINDS[kind]]] = row
        return row

    def note_active(self) -> None:
        for row in self.rows["recurringruns"].values():
            name = row["display_name"]
            self.most_active[name] = max(self.most_active.get(name, 0), len(self.active(name)))


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # a body after its headers would wait for the client's delayed ACK
    server: KfpServer

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self.serve()

    def do_POST(self) -> None:
        self.serve()

    def do_DELETE(self) -> None:
        self.serve()

    def serve(self) -> None:
        server, parts = self.server, urlsplit(self.path)
        length = int(self.headers.get("Content-Length") or 0)
        body = json.loads(self.rfile.read(length)) if length else None
        with server.lock:
            server.requests.append((self.command, parts.path))
            server.headers.append({key.title(): value for key, value in self.headers.items()})
            server.bodies.append(body)
            server.on_request(server)
            fault = server.fault(len(server.requests), self.command, parts.path)
            status, answer = (0, None)
            if fault is None or fault.carried_out:
                status, answer = self.carry_out(parts.path, parse_qs(parts.query), body)
            server.note_active()
        if fault is not None and (fault.silent or fault.cut):
            server.over.wait(20 if fault.silent else 0)
            self.close_connection = True
            return
        if fault is not None:
            said = {"code": CODES.get(fault.status, 2), "message": f"injected {fault.status}", "details": []}
            self.answer(fault.status, fault.body or json.dumps(said), fault.headers)
            return
        self.answer(status, json.dumps(answer), {})

    def answer(self, status: int, text: str, headers: dict[str, str]) -> None:
        content = text.encode()
        self.send_response(status)
        kind = "text/html" if text.startswith("<") else "application/json"
        for key, value in {"Content-Type": kind, "Content-Length": str(len(content)), **headers}.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def carry_out(self, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any]:
        try:
            if set(query) - QUERY:
                raise Refused(400, f"unknown query parameters {set(query) - QUERY}")
            return 200, self.route(path, {key: values[0] for key, values in query.items()}, body)
        except Refused as refusal:
            if refusal.status == 400:
                self.server.schema_errors.append(refusal.message)
            return refusal.status, {"code": CODES[refusal.status], "message": refusal.message, "details": []}

    def route(self, path: str, query: dict[str, str], body: Any) -> Any:
        found = re.fullmatch(rf"{BASE}/(experiments|runs|recurringruns)(?:/([^/:]+))?(?::(enable|disable))?", path)
        if found is None:
            raise Refused(404, f"Not Found: {path}")
        kind, identity, verb = found.groups()
        if identity is None:
            return self.list_rows(kind, query) if self.command == "GET" else self.create(kind, body)
        if identity not in self.server.rows[kind]:
            raise Refused(404, f"{kind} {identity} not found.")
        row = self.server.rows[kind][identity]
        if verb:
            row["status"], row["mode"] = ("ENABLED", "ENABLE") if verb == "enable" else ("DISABLED", "DISABLE")
            return {}
        if self.command == "DELETE":
            del self.server.rows[kind][identity]
            for run in self.server.rows["runs"].values():  # Kubernetes collects what a schedule owns
                if run.get("recurring_run_id") == identity and run["state"] in ("RUNNING", "PENDING"):
                    run["state"] = "FAILED"
            return {}
        return row

    def list_rows(self, kind: str, query: dict[str, str]) -> Any:
        if kind == "experiments":
            self.check_namespace(query.get("namespace"))
        rows = list(self.server.rows[kind].values())
        for key in ("namespace", "experiment_id"):
            if query.get(key):
                rows = [row for row in rows if row.get(key, query[key]) == query[key]]
        for predicate in json.loads(query["filter"])["predicates"] if query.get("filter") else []:
            if predicate["operation"] not in (1, "EQUALS"):
                raise Refused(400, f"unknown operation {predicate['operation']}")
            rows = [row for row in rows if row[predicate["key"]] == predicate["stringValue"]]
        if query.get("sort_by", "") == "created_at desc":
            rows.reverse()
        start, size = int(query.get("page_token") or 0), min(int(query.get("page_size") or 20), self.server.page)
        token = str(start + size) if start + size < len(rows) else ""
        plural = "recurringRuns" if kind == "recurringruns" else kind
        return {plural: rows[start : start + size], "next_page_token": token, "total_size": len(rows)}

    def create(self, kind: str, body: Any) -> Any:
        check(body, MODELS[kind], kind)
        if kind == "experiments":
            self.check_namespace(body.get("namespace"))
            taken = [row.get("namespace") or "" for row in self.server.named(kind, body["display_name"])]
            if (body.get("namespace") or "") in taken:
                raise Refused(409, f"experiment {body['display_name']} already exists")
        else:
            if body.get("experiment_id") not in self.server.rows["experiments"]:
                raise Refused(404, f"experiment {body.get('experiment_id')} not found")
            check_pipeline(body["pipeline_spec"])
            check_trigger(body.get("trigger") or {})
        return self.server.add(kind, body)

    def check_namespace(self, namespace: str | None) -> None:
        if self.server.namespaced and not namespace:
            raise Refused(400, "Invalid input error: namespace cannot be empty in multi-user mode")
        if not self.server.namespaced and namespace:
            raise Refused(400, "Invalid input error: in single-user mode, namespace must be empty")


SIMPLE = {"str": str, "int": int, "bool": bool, "object": object, "datetime": str, "float": (int, float)}


def check(value: Any, kind: str, place: str) -> None:
    """Holds a JSON value against a type of the published schema."""
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        for index, item in enumerate(value):
            check(item, found.group(1), f"{place}[{index}]")
    elif found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        for key, item in value.items():
            check(item, found.group(1), f"{place}.{key}")
    elif kind in SIMPLE:
        number_as_text = kind == "str" and type(value) is int  # int64 of proto
        if not isinstance(value, SIMPLE[kind]) and not number_as_text:  # type: ignore[arg-type]
            raise Refused(400, f"{place}: expected {kind}, got {value!r}")
    else:
        check_model(value, getattr(models, kind), place)


def check_model(value: Any, model: Any, place: str) -> None:
    """Holds a JSON value against a generated class: an enumeration, or an object with known fields."""
    if hasattr(model, "allowable_values"):
        if value not in model.allowable_values:
            raise Refused(400, f"{place}: expected one of {model.allowable_values}, got {value!r}")
        return
    if not isinstance(value, dict):
        raise Refused(400, f"{place}: expected {model.__name__}, got {value!r}")
    types = {model.attribute_map[name]: one for name, one in model.openapi_types.items()}
    for key, item in value.items():
        if key not in types:
            raise Refused(400, f"{place}: {model.__name__} has no field {key}")
        check(item, types[key], f"{place}.{key}")


def check_trigger(trigger: dict[str, Any]) -> None:
    """Refuses what `cron.Parse` of robfig/cron does, as far as a minute goes (apiserver/server/job_server.go)."""
    fields = trigger.get("cron_schedule", {}).get("cron", "0 0 0 * * *").split(" ")
    if len(fields) != 6 or (fields[1].isdigit() and int(fields[1]) > 59):
        error = f"End of range ({fields[1]}) above maximum (59): {fields[1]}"
        raise Refused(
            400, f"Schedule cron is not a supported format(https://godoc.org/github.com/robfig/cron). {error}"
        )


def check_pipeline(spec: dict[str, Any]) -> None:
    """What the API server does with `pipeline_spec`: a bare spec, or one with the platform's."""
    platform = spec.get("platform_spec", {})
    spec = spec.get("pipeline_spec", spec)
    try:
        parsed = json_format.ParseDict(spec, pipeline_spec_pb2.PipelineSpec())
        json_format.ParseDict(platform, pipeline_spec_pb2.PlatformSpec())
    except json_format.ParseError as error:
        raise Refused(400, f"pipeline_spec: {error}") from error
    if parsed.schema_version != "2.1.0":
        raise Refused(400, f"unsupported pipeline spec version {parsed.schema_version}")
