"""Two servers in one process: over one PostgreSQL and one directory, each with a ledger, stages and an application of its own."""

import asyncio
import contextlib
import functools
import json
import urllib.parse
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.sql.clock import DatabaseClock
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.adapters.work.quick_counter import QuickCounter
from slackwater.api.app import build_app
from slackwater.cli.entrance import entrance_to
from slackwater.config import Config, load
from slackwater.core.accounts.cost import price_of
from slackwater.core.sending.budget import Budget
from slackwater.pipeline.accounts.keys import Keys
from slackwater.pipeline.sending.dispatcher import Dispatcher
from slackwater.pipeline.watching.readiness import Readiness
from slackwater.telemetry import BackendMeter
from slackwater.wiring.connections import connections_of
from slackwater.wiring.deployments import Shared, assembler_of, deployment_record, dispatchers_of
from slackwater.wiring.engines import Engines
from slackwater.wiring.opening import settings_of
from slackwater.wiring.service import Service
from slackwater.wiring.service_parts import Doors, Offer

VERSION = "api-version=2024-10-21"


MARK = "a-boundary-of-tests"


class Answer:
    """What an application has answered."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status_code = status
        self.headers = headers
        self.content = body

    def json(self) -> Any:
        return json.loads(self.content)


class Served:
    """One of the servers, and a client of it."""

    def __init__(self, service: Service, ledger: SqlLedger, keys: Keys, app: ASGIApp) -> None:
        self.service = service
        self.ledger = ledger
        self.keys = keys
        self._app = app

    async def call(self, method: str, path: str, body: bytes = b"", *, key: str = "any", **headers: str) -> Answer:
        """A call of the Azure dialect."""
        name, _, query = path.partition("?")
        sent = {"host": "127.0.0.1", "api-key": key, "content-length": str(len(body))} | headers
        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": f"/openai{urllib.parse.unquote(name)}",
            "raw_path": f"/openai{name}".encode(),
            "query_string": f"{VERSION}&{query}".encode(),
            "root_path": "",
            "headers": [(name.replace("_", "-").encode(), value.encode()) for name, value in sent.items()],
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        messages: list[Any] = []
        pieces = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            # Whoever calls stays until it has its answer.
            return pieces.pop(0) if pieces else await asyncio.get_running_loop().create_future()

        async def send(message: Any) -> None:
            messages.append(message)

        await self._app(scope, receive, send)
        return Answer(
            messages[0]["status"],
            {name.decode(): value.decode() for name, value in messages[0]["headers"]},
            b"".join(each.get("body", b"") for each in messages[1:]),
        )

    async def put(self, method: str, path: str, value: Any, **headers: str) -> Answer:
        """The same with JSON."""
        return await self.call(method, path, json.dumps(value).encode(), content_type="application/json", **headers)

    async def upload(self, data: bytes, **headers: str) -> Answer:
        """An input file."""
        body = (
            f'--{MARK}\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n--{MARK}\r\n'
            'Content-Disposition: form-data; name="file"; filename="in.jsonl"\r\n\r\n'
        ).encode()
        body += data + f"\r\n--{MARK}--\r\n".encode()
        kind = f"multipart/form-data; boundary={MARK}"
        return await self.call("POST", "/files", body, content_type=kind, **headers)

    async def create(self, file_id: str, **headers: str) -> Answer:
        """A batch of chat completions."""
        order = {"input_file_id": file_id, "endpoint": "/chat/completions", "completion_window": "24h"}
        return await self.put("POST", "/batches", order, **headers)


def config_in(place: Path, text: str) -> Config:
    """What a configuration file with this text says."""
    path = place / "slackwater.toml"
    path.write_text(text)
    return load(path, {})


def _counting_alone(dispatchers: list[Dispatcher]) -> list[Dispatcher]:
    """Each server counts for itself, as in processes of their own."""
    for each in dispatchers:
        each.meter = BackendMeter()
    return dispatchers


@contextlib.asynccontextmanager
async def serving(
    address: str,
    config: Config,
    directory: Path,
    *,
    works: bool = True,
    clock_confirmed: Callable[[], bool] = lambda: False,
    wrapped: Callable[[SqlLedger], Any] = lambda ledger: ledger,
) -> AsyncIterator[Served]:
    """A server, as `open_service` makes it, but that others may have its ledger, too. It sends where it `works`."""
    ledger = SqlLedger.connect(address)
    clock = DatabaseClock(ledger.sql.database)
    await clock.look()
    blobs = DiskBlobs(directory)
    budget = Budget(config.worker.memory_bytes, answer_bytes_max=config.worker.answer_bytes)
    shared = Shared(clock=clock, engines=Engines(clock, config.engines, config.deployments), budget=budget)
    by_key = {deployment_record(each).key: each for each in config.deployments}
    service_ledger = wrapped(ledger)
    service = Service(
        Doors(
            ledger=service_ledger,
            blobs=blobs,
            clock=clock,
            offload=InlineOffload(),
            budget=budget,
            together=ledger.together,
            clock_confirmed=clock_confirmed,
        ),
        Offer(
            deployments=[deployment_record(each) for each in config.deployments],
            backends=lambda deployment: _counting_alone(dispatchers_of(by_key[deployment.key], shared)),
            quick_counter={name: QuickCounter(name) for name in ("o200k_base", "cl100k_base")},
            price_of=functools.partial(price_of, prices={}),
            assemble=assembler_of(config, shared),
            connections=lambda now: connections_of(config, service_ledger, clock, now),
        ),
        settings_of(config),
        readiness=Readiness(stores={"ledger": ledger, "files": blobs}, room=blobs, free_bytes_min=0),
    )
    keys = Keys(service.ledger, clock)
    await keys.load()
    app = build_app(entrance_to(config, service, InlineOffload(), keys, None))
    if not works:
        service.fleet.start = lambda: None  # type: ignore[method-assign]
    await service.start()
    try:
        yield Served(service, ledger, keys, app)
    finally:
        await service.stop()
        await ledger.close()
