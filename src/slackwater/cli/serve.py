"""`slackwater serve`: the service. First signal: stop gently. Second signal: leave at once."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec
from starlette.types import ASGIApp

from slackwater import __version__
from slackwater.adapters.work.allocator import give_large_pieces_pages_of_their_own
from slackwater.adapters.work.process_offload import ProcessOffload
from slackwater.adapters.work.quick_counter import QuickCounter
from slackwater.adapters.work.tiktoken_counter import TiktokenCounter
from slackwater.api.app import build_app
from slackwater.api.context import Entrance
from slackwater.api.metrics import metrics_app
from slackwater.cli.data_options import data_beside
from slackwater.cli.entrance import entrance_to
from slackwater.cli.output import note
from slackwater.cli.process import (
    answering,
    begin_log,
    behind,
    buried,
    end_at_once_from_now_on,
    front_door,
    listen_or_leave,
    load_or_leave,
    log_options,
    places_line,
    run_to_its_end,
)
from slackwater.cli.stopping import stopping_line
from slackwater.config import ENCODINGS, LOOPBACK, Config, split_listen
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import ConfigError
from slackwater.core.masking import masked
from slackwater.core.members import Kind
from slackwater.pipeline.accounts.keys import Keys
from slackwater.studio import studio_routes
from slackwater.wiring import fetcher_of, open_service, sender_of, sign_in_of, tracing_of, verifier_of

if TYPE_CHECKING:
    from slackwater.wiring.monitoring import Monitor

# Large input files that are validated at once: each keeps a core busy. Two at least, so that one does not hold up all others.
VALIDATED_AT_ONCE = min(4, max(2, os.cpu_count() or 1))
# Heavy calls of users at once: checks of files; and retries and searches, which are quick.
CHECKED_AT_ONCE, CALLS_AT_ONCE = 4, 2
# Where a core is short, polls and answers of engines go before the reading of files.
NICENESS = 5


@click.command("serve")
@click.option(
    "--config", "config_path", type=click.Path(path_type=Path), help="TOML file with deployments and backends."
)
@click.option("--data", type=click.Path(path_type=Path), help="Data directory.  [default: slackwater-data]")
@click.option("--host", help="Address to listen on.  [default: 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="TCP port; 0 takes a free one.  [default: 8080]")
@click.option("--no-sending", is_flag=True, help="Send nothing to engines: 'slackwater worker' does. Needs a database.")
@log_options
def command(
    config_path: Path | None,
    data: Path | None,
    host: str | None,
    port: int | None,
    no_sending: bool,
    log_level: str,
    log_format: str,
) -> None:
    """Serve the Azure OpenAI and OpenAI Batch API in front of your engines.

    Without --config it listens on loopback only, accepts any key, and serves one deployment, `demo-batch`, on the
    built-in backend. Everything is kept in the data directory; after a crash the same command continues.

    It answers calls and sends to engines. With a ledger on PostgreSQL, processes of their own may do the sending:
    --no-sending leaves it to them.

    \b
    Examples:
      slackwater serve
      slackwater serve --config slackwater.toml --data /var/lib/slackwater --port 8080
      slackwater serve --config slackwater.toml --no-sending    (beside: slackwater worker --config slackwater.toml)
    """
    begin_log(log_level, log_format)
    config = load_or_leave(config_path)
    if no_sending and not config.database:
        click.echo(
            "error: --no-sending leaves the sending to 'slackwater worker', which needs a ledger that several processes can "
            "have, and this one is a file: name [server] database (see docs/postgresql.md), or leave --no-sending out",
            err=True,
        )
        sys.exit(2)
    given = {name: value for name, value in (("host", host), ("port", port)) if value is not None}
    server = msgspec.structs.replace(config.server, **given)
    config = msgspec.structs.replace(config, server=server)
    directory = data or Path(server.data)
    if data is None and (hint := data_beside(directory, config_path)):
        note(f"{directory.absolute()} is new and has nothing; {hint}")
    try:
        if not directory.exists():
            # There can be no keys in it, so nothing needs to be opened to know.
            _refuse_strangers(config, directory, any_key=False)
    except ConfigError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(2)
    listener = listen_or_leave(server.host, server.port, advice="choose another --port")
    metrics = None
    if config.metrics.enabled and config.metrics.listen:
        metrics = listen_or_leave(*split_listen(config.metrics.listen), advice="choose another [metrics] listen")
    kind = Kind.API if no_sending else Kind.SERVER
    demo = config_path is None
    run_to_its_end(lambda stopping: _serve(config, directory, listener, metrics, stopping, kind=kind, demo=demo))


async def _serve(
    config: Config,
    directory: Path,
    listener: socket.socket,
    metrics: socket.socket | None,
    stopping: asyncio.Event,
    *,
    kind: Kind,
    demo: bool,
) -> None:
    give_large_pieces_pages_of_their_own()
    tracing = tracing_of(config)
    # Places of their own, so that nobody waits for what somebody else's batch has in it: calls of users stand behind no
    # validation, and large answers of engines behind no user.
    calls, answers = ProcessOffload(at_once=CALLS_AT_ONCE), ProcessOffload()
    validating = ProcessOffload(at_once=VALIDATED_AT_ONCE, niceness=NICENESS)
    checking = ProcessOffload(at_once=CHECKED_AT_ONCE, niceness=NICENESS)
    counters = {name: TiktokenCounter(name) for name in ENCODINGS}
    fetcher, sender = fetcher_of(config), sender_of(config)
    async with (
        front_door(config) as front,
        answering(listener, front) as (door, http),
        open_service(
            config,
            directory,
            offload=answers,
            validating=validating,
            validated_at_once=VALIDATED_AT_ONCE,
            checking=checking,
            counter=counters,
            quick_counter={name: QuickCounter(name) for name in ENCODINGS},
            fetcher=fetcher,
            sender=sender,
            tracing=tracing,
            kind=kind,
            buried=buried,
            behind=behind,
        ) as service,
        contextlib.AsyncExitStack() as stack,
    ):
        keys = Keys(service.ledger, service.clock)
        await keys.load()
        _refuse_strangers(config, directory, any_key=keys.any)
        verifier = verifier_of(config, service.clock)
        sign_in = sign_in_of(config, service.clock)
        entrance = entrance_to(config, service, calls, keys, verifier, tracing, sign_in)
        app = build_app(entrance, studio_routes() if config.studio.enabled else ())
        # The word that keys in files have changed. They are looked at by themselves, too, so it may be lost.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.hints.keys.notify)
        await service.start()
        door.open(app)
        if metrics is not None and service.monitor is not None:
            metrics_door, _ = await stack.enter_async_context(answering(metrics, front))
            metrics_door.open(_metrics_app(config, service.monitor, entrance))
        _greet(config, directory, listener, kind=kind, demo=demo, keyed={key.resource for key in keys.all()})
        stopped = asyncio.create_task(stopping.wait())
        await asyncio.wait((http.serving, stopped), return_when=asyncio.FIRST_COMPLETED)
        click.echo(stopping_line(service.in_flight, grace_seconds=config.worker.grace_seconds), err=True)
        await service.stop()
        await http.end()
        for offload in (calls, answers, validating, checking):
            await offload.close()
        for issuer in (verifier, sign_in):
            if issuer is not None:
                await issuer.close()
        if tracing is not None:
            await tracing.close()
        click.echo("stopped; the same command continues where this ended", err=True)
    end_at_once_from_now_on()


def _metrics_app(config: Config, monitor: "Monitor", entrance: Entrance) -> ASGIApp:
    # Others reach an address that is not loopback, so there it needs the key, as everywhere.
    host, _ = split_listen(config.metrics.listen)
    return metrics_app(monitor, None if host in LOOPBACK else entrance.authenticator)


def _is_locked(config: Config, *, any_key: bool) -> bool:
    """Whether callers have to say who they are."""
    return bool(config.api_keys or config.oidc.issuers) or any_key


def _refuse_strangers(config: Config, directory: Path, *, any_key: bool) -> None:
    """Raises ConfigError where others could call and there is nothing to know them by."""
    host = config.server.host
    if host not in LOOPBACK and not _is_locked(config, any_key=any_key):
        raise ConfigError(
            [
                f"host {host} would let anybody use this service: there is no API key in {directory}. Make some with "
                f"'slackwater keys create {_named(config, directory)}', or put api_key_envs = [\"SLACKWATER_API_KEY\"] under "
                "[server], or listen on 127.0.0.1"
            ]
        )


def _named(config: Config, directory: Path) -> str:
    """How a command is told which ledger: in a directory whose ledger is in a database, it would make another one."""
    return "--config FILE" if config.database else f"--data {directory}"


def access_line(config: Config, directory: Path, keyed: Collection[str]) -> str:
    """Who may call, in one line. `keyed` are the resources that have keys of their own in the ledger of `directory`.

    A key of any resource locks the door of all: whoever needs no key might act in the resources of those who have some.
    """
    if not _is_locked(config, any_key=bool(keyed)):
        return "no API key is configured: loopback only, any key is accepted"
    resources = {DEFAULT, *(resource.name for resource in config.resources)}
    good, lost = sorted(resources & set(keyed)), sorted(set(keyed) - resources)
    ways = ["one of api_key_envs"] * bool(config.api_keys) + ["a token"] * bool(config.oidc.issuers)
    ways += [f"a key of {', '.join(good)}"] * bool(good)
    line = f"every call needs {' or '.join(ways) or 'a key, and there is none that is good here'}"
    if lost:
        line += f"; there are keys of {', '.join(lost)}, which [[resources]] does not name"
    if not config.api_keys and not config.oidc.issuers and (none := sorted(resources - set(keyed))):
        make = f"slackwater keys create {_named(config, directory)} --resource {none[0]}"
        line += f"; nobody can call {', '.join(none)}: '{make}' makes keys"
    return line


def _greet(
    config: Config, directory: Path, listener: socket.socket, *, kind: Kind, demo: bool, keyed: Collection[str]
) -> None:
    host, port = listener.getsockname()[:2]
    url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
    click.echo(f"slackwater {__version__} on {url}, {places_line(config, directory)}")
    for deployment in config.deployments:
        urls = [masked(backend.url or "") for backend in deployment.backends]
        places = ", ".join(url or "the built-in backend (echo, no model)" for url in urls)
        click.echo(f"  deployment {deployment.name}: {places}")
    if not kind.sends:
        click.echo("  sends nothing: 'slackwater worker' has to run beside it")
    if demo:
        click.echo("  no --config: one deployment on the built-in backend")
    click.echo(f"  {access_line(config, directory, keyed)}")
    if config.studio.enabled:
        click.echo(f"  Studio, to be opened in a browser: {url}/studio")
    click.echo(f"  Azure clients: azure_endpoint={url}   OpenAI clients: base_url={url}/v1", nl=True)
    sys.stdout.flush()
