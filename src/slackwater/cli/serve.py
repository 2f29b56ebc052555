"""`slackwater serve`: the service. First signal: stop gently. Second signal: leave at once."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec
import uvicorn
import uvloop

from slackwater import __version__
from slackwater.adapters.process_offload import ProcessOffload
from slackwater.adapters.tiktoken_counter import TiktokenCounter
from slackwater.api.app import build_app
from slackwater.api.context import ApiSettings, Context
from slackwater.config import LOOPBACK, Config, load
from slackwater.core.errors import ConfigError, DataDirectoryError
from slackwater.core.file import FileLimits, Purpose
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.intake import Intake, new_file_id
from slackwater.pipeline.retries import Retries
from slackwater.pipeline.uploads import Uploads
from slackwater.ports import Offload
from slackwater.wiring import Service, check_backends, fetcher_of, open_service


@click.command("serve")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="TOML file with deployments and backends."
)
@click.option("--data", type=click.Path(path_type=Path), help="Data directory.  [default: slackwater-data]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0 takes a free one.  [default: 8080]")
@click.option(
    "--log-level", type=click.Choice(["debug", "info", "warning", "error"]), default="info", show_default=True
)
def command(config_path: Path | None, data: Path | None, host: str | None, port: int | None, log_level: str) -> None:
    """Serve the Azure OpenAI and OpenAI Batch API in front of your engines.

    Without --config it listens on loopback only, accepts any key, and serves one deployment, `demo-batch`, on the
    built-in backend. Everything is kept in the data directory; after a crash the same command continues.

    \b
    Examples:
      slackwater serve
      slackwater serve --config slackwater.toml --data /var/lib/slackwater --port 8080
    """
    logging.basicConfig(level=log_level.upper(), format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    try:
        config = load(config_path)
        check_backends(config)
    except ConfigError as error:
        for fault in error.faults:
            click.echo(f"error: {fault}", err=True)
        sys.exit(2)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    server = msgspec.structs.replace(config.server, **given)
    if server.host not in LOOPBACK and not config.api_keys:
        click.echo(
            f"error: --host {server.host} would let anybody use this service: no API key is configured. "
            'Put api_key_envs = ["SLACKWATER_API_KEY"] under [server] in the config, or listen on 127.0.0.1.',
            err=True,
        )
        sys.exit(2)
    config = msgspec.structs.replace(config, server=server)
    try:
        listener = _listen(server.host, server.port)
    except OSError as error:
        click.echo(
            f"error: cannot listen on {server.host}:{server.port}: {error.strerror}; choose another --port", err=True
        )
        sys.exit(2)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_serve(config, data or Path(server.data), listener, demo=config_path is None))
    except DataDirectoryError as error:
        click.echo(f"error: {error}", err=True)
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

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(config: Config, directory: Path, listener: socket.socket, *, demo: bool) -> None:
    offload = ProcessOffload()
    counters = {deployment.name: TiktokenCounter(deployment.tokenizer) for deployment in config.deployments}
    fetcher = fetcher_of(config)
    async with open_service(config, directory, offload=offload, counter=counters, fetcher=fetcher) as service:
        app = build_app(_context(config, service, offload))
        http = _Server(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                lifespan="off",
                server_header=False,
                http="httptools",
                ws="none",
                timeout_graceful_shutdown=5,
            )
        )
        stopping = asyncio.Event()
        loop = asyncio.get_running_loop()

        def on_signal() -> None:
            if stopping.is_set():
                logging.getLogger("slackwater").warning("second signal: leaving at once; the journal has what counts")
                os._exit(130)
            stopping.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, on_signal)
        await service.start()
        serving = asyncio.create_task(http.serve(sockets=[listener]))
        _greet(config, directory, listener, demo=demo)
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait((serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        if service.in_flight:
            click.echo(
                f"stopping: waiting for {service.in_flight} requests in flight; signal again to leave at once", err=True
            )
        await service.stop()
        http.should_exit = True
        await serving
        await offload.close()
        click.echo("stopped; the same command continues where this ended", err=True)


def _context(config: Config, service: Service, offload: Offload) -> Context:
    """What the API needs of a service."""
    ledger, blobs, clock, limits = service.ledger, service.blobs, service.clock, config.limits
    file_limits = FileLimits(lasting=limits.lasting_files, expiring=limits.expiring_files)
    return Context(
        ledger=ledger,
        blobs=blobs,
        clock=clock,
        intake=Intake(ledger, blobs, clock, upload_bytes_max=limits.upload_bytes, limits=file_limits),
        admission=Admission(ledger, blobs, clock, wake=service.hint.notify, deployments=lambda: service.deployments),
        uploads=Uploads(
            ledger,
            blobs,
            clock,
            bytes_max=lambda purpose: limits.upload_bytes if purpose is Purpose.BATCH else limits.upload_parts_bytes,
            limits=file_limits,
            new_file_id=new_file_id,
            wake=service.upload_hint.notify,
        ),
        importer=service.importer,
        retries=Retries(ledger, blobs, clock, offload, new_file_id=new_file_id),
        deployments=lambda: service.deployments,
        settings=ApiSettings(api_keys=config.api_keys, lenient_api_version=config.server.lenient_api_version),
    )


def _greet(config: Config, directory: Path, listener: socket.socket, *, demo: bool) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"slackwater {__version__} on {url}, data in {directory.resolve()}")
    for deployment in config.deployments:
        places = ", ".join(backend.url or "the built-in backend (echo, no model)" for backend in deployment.backends)
        click.echo(f"  deployment {deployment.name}: {places}")
    if demo:
        click.echo("  no --config: loopback only, any key is accepted, one deployment on the built-in backend")
    elif not config.api_keys:
        click.echo("  no API key is configured: loopback only, any key is accepted")
    click.echo(f"  Azure clients: azure_endpoint={url}   OpenAI clients: base_url={url}/v1", nl=True)
    sys.stdout.flush()
