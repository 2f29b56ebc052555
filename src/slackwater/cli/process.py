"""What the commands have in common that run for long: where they listen, who answers there, and what signals mean.

The first signal stops gently, the second at once. One that comes before there is an event loop finds nothing begun (`cli.main`).
"""

import asyncio
import contextlib
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import click
import uvicorn
import uvloop

from slackwater.adapters.work.descriptors import raise_descriptor_limit
from slackwater.api.arriving.connection import Connection
from slackwater.api.arriving.front_door import FrontDoor
from slackwater.api.readiness import Door
from slackwater.config import Config, load
from slackwater.core.errors import ConfigError, DataDirectoryError, FilesUnavailable, LedgerUnavailable, StorageTrouble
from slackwater.core.masking import shown_url
from slackwater.telemetry.logs import formatter_of
from slackwater.wiring.checks import read_whole
from slackwater.wiring.front_door import front_door_of

SIGNALS = (signal.SIGTERM, signal.SIGINT)
# Why it ends at once.
BURIED = (
    "other servers took this one for dead, because it was stopped or cut off from the ledger for too long, and go on with "
    "its work: it ends, to be started again"
)
BEHIND = (
    "the ledger's database has lost what it had confirmed, as a standby has that was promoted and had not got all of it: this "
    "server ends. Put the rest back, or stop all servers and see what 'slackwater recover' says; until then none starts"
)

F = TypeVar("F", bound=Callable[..., Any])


def log_options(function: F) -> F:
    """Adds `--log-level` and `--log-format`."""
    level = click.option(
        "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
    )
    form = click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        default="text",
        show_default=True,
        help="A line of text per event, or a JSON object.",
    )
    return level(form(function))


def places_line(config: Config, directory: Path) -> str:
    """Where a process has what it keeps: the data directory, and what is not in it."""
    ledger = f", ledger in {shown_url(config.database)}" if config.database else ""
    files = f", files in {config.server.files}" if config.server.files else ""
    return f"data in {directory.resolve()}{ledger}{files}"


def begin_log(level: str, form: str) -> None:
    """Events go to standard error from here on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(formatter_of(form))
    logging.basicConfig(level=level.upper(), handlers=[handler])


def load_or_leave(path: Path | None) -> Config:
    """The configuration, without a file the one of the demo, or a line for each fault of it and an end."""
    return load(None) if path is None else read_or_leave(path, before="error: ")


def read_or_leave(path: Path, *, before: str) -> Config:
    """The configuration of a file, or a line for each fault of it, with `before` before it, and an end."""
    try:
        config, faults = read_whole(path)
    except ConfigError as error:
        config, faults = None, error.faults
    if config is None or faults:
        for fault in faults:
            click.echo(f"{before}{fault}", err=True)
        sys.exit(2)
    return config


def run_to_its_end(work: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> None:
    """Runs it; what it is given is set by the first signal. What goes wrong ends the process with one line; 1 says that starting
    it again may help.
    """
    stopping: asyncio.Event | None = None

    async def told() -> None:
        nonlocal stopping
        stopping = _told_to_stop()
        await work(stopping)

    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(told())
        _hear_no_more()
    except ConfigError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    except (DataDirectoryError, StorageTrouble) as error:
        click.echo(f"error: {error}", err=True)
        # Whoever starts it again should: a database comes back by itself, and nobody has to correct anything here.
        passes = isinstance(error, LedgerUnavailable) or (isinstance(error, FilesUnavailable) and error.passes)
        # Nor has anything failed for whoever has told it to stop while it waited for its database.
        sys.exit((0 if stopping is not None and stopping.is_set() else 1) if passes else 2)


def listen_or_leave(host: str, port: int, *, advice: str) -> socket.socket:
    """A socket that listens there, or a line with the advice and an end."""
    try:
        return _listen(host, port)
    except OSError as error:
        whose = ""
        if error.errno == errno.EADDRINUSE:
            whose = " (another server of ours, or llama.cpp's, which has it by default, too)" if port == 8080 else ""
            advice = f"{advice}, such as {port + 1 if port < 65535 else 0}"
        click.echo(f"error: cannot listen on {host}:{port}: {error.strerror}{whose}; {advice}", err=True)
        sys.exit(2)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port))
    listener.listen(1024)
    listener.set_inheritable(False)
    return listener


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: this module decides what a signal means."""

    serving: asyncio.Task[None]

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def end(self) -> None:
        """Finishes what is being answered. May be repeated."""
        self.should_exit = True
        await self.serving


@contextlib.asynccontextmanager
async def front_door(config: Config) -> AsyncIterator[FrontDoor]:
    """What all connections share, and the one look at them."""
    front = front_door_of(config.front_door, raise_descriptor_limit())
    watching = asyncio.create_task(front.watch())
    try:
        yield front
    finally:
        watching.cancel()


@contextlib.asynccontextmanager
async def answering(listener: socket.socket, front: FrontDoor) -> AsyncIterator[tuple[Door, _Server]]:
    """Somebody answers from here on: at first only that the service is starting, which may take a moment."""
    door = Door()
    front.takes_from(listener)
    # Its milestones are not ours: it answers long before the service is there.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    http = _Server(
        uvicorn.Config(
            door,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            http=front.protocol(Connection),  # type: ignore[arg-type]
            ws="none",
            timeout_graceful_shutdown=5,
        )
    )
    http.serving = asyncio.create_task(http.serve(sockets=[listener]))
    try:
        yield door, http
    finally:
        await http.end()


def buried() -> None:
    """Others go on with what this one had in hand."""
    _leave_at_once(BURIED)


def behind() -> None:
    """What the ledger had confirmed is lost."""
    _leave_at_once(BEHIND)


def _leave_at_once(why: str) -> None:
    """Whatever it sends from now on is sent twice."""
    logging.getLogger("slackwater").error(why)
    logging.shutdown()
    os._exit(1)


def _told_to_stop() -> asyncio.Event:
    """Set by the first signal. The second one ends the process at once."""
    stopping = asyncio.Event()

    def on_signal() -> None:
        if stopping.is_set():
            logging.getLogger("slackwater").warning("second signal: leaving at once; the journal has what counts")
            os._exit(130)
        stopping.set()

    for number in SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, on_signal)
    return stopping


def end_at_once_from_now_on() -> None:
    """Only the end of the event loop is left. To be called on it."""
    for number in SIGNALS:
        # The loop takes its own handlers along.
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, lambda *_: os._exit(130))


def _hear_no_more() -> None:
    """Everything is done. A signal that comes now must not look like a death."""
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
