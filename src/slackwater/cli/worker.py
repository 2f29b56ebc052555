"""`slackwater worker`: sends and finalizes for servers that share a ledger on PostgreSQL. It has no API and no Studio."""

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import click
from starlette.types import ASGIApp

from slackwater import __version__
from slackwater.adapters.work.allocator import give_large_pieces_pages_of_their_own
from slackwater.adapters.work.descriptors import raise_descriptor_limit
from slackwater.adapters.work.process_offload import ProcessOffload
from slackwater.api.auth import Authenticator
from slackwater.api.metrics import metrics_route
from slackwater.api.readiness import probes_app
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
from slackwater.config import LOOPBACK, Config, split_listen
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.errors import ConfigError, StorageTrouble
from slackwater.core.members import Kind
from slackwater.core.sending.deployment import key_of
from slackwater.pipeline.accounts.keys import Keys
from slackwater.pipeline.accounts.wrong_keys import SlowDown
from slackwater.wiring import Service, open_service, tracing_of

# Of those that there are, so many are named where one is not known.
NAMED_MAX = 20

# A worker that stops waits for so long to hear who else is there.
ASKED_SECONDS = 1.0


@click.command("worker")
@click.option("--config", "config_path", type=click.Path(path_type=Path), help="The servers' TOML file.")
@click.option(
    "--data", type=click.Path(path_type=Path), help="The servers' data directory.  [default: as they have it]"
)
@click.option(
    "--deployments",
    "names",
    multiple=True,
    metavar="NAME,...",
    help="Send only for these: NAME, or RESOURCE/NAME.  [default: all]",
)
@click.option("--listen", metavar="HOST:PORT", help="Answer /healthz, /readyz and /metrics there.  [default: nowhere]")
@log_options
def command(
    config_path: Path | None,
    data: Path | None,
    names: tuple[str, ...],
    listen: str | None,
    log_level: str,
    log_format: str,
) -> None:
    """Send to engines and finish batches, without an API: for servers whose ledger is on PostgreSQL.

    Start as many as you like beside 'slackwater serve', with the same configuration and data directory. They share the batches
    with each other, and with every server that does not run with --no-sending.

    The first SIGTERM (or Ctrl-C) ends it gently: it takes nothing new, waits for the answers that are on their way, and gives
    the rest back. The second one ends it at once. SIGHUP reads the keys of engines again that are in files.

    \b
    Examples:
      slackwater serve --config slackwater.toml --no-sending
      slackwater worker --config slackwater.toml
      slackwater worker --config slackwater.toml --deployments llama-batch,team-a/qwen
      slackwater worker --config slackwater.toml --listen 0.0.0.0:9091
    """
    begin_log(log_level, log_format)
    config = load_or_leave(config_path)
    if not config.database:
        _leave(
            "a worker needs a ledger that several processes can have, and this one is a file: name [server] database in the "
            "configuration (see docs/postgresql.md), or run 'slackwater serve', which sends by itself"
        )
    only = frozenset(_key(name.strip()) for each in names for name in each.split(",") if name.strip())
    if names and not only:
        _leave("--deployments names none; leave it out to send for all")
    listener = None
    if listen is not None:
        try:
            place = split_listen(listen)
        except ValueError as error:
            _leave(f"--{error}")
        listener = listen_or_leave(*place, advice="choose another --listen")
    directory = data or Path(config.server.data)
    run_to_its_end(lambda stopping: _work(config, directory, listener, only or None, stopping))


def _leave(fault: str) -> NoReturn:
    click.echo(f"error: {fault}", err=True)
    sys.exit(2)


def _key(name: str) -> str:
    """The key of a deployment as somebody names it."""
    resource, slash, rest = name.partition("/")
    return key_of(resource, rest) if slash else name


async def _work(
    config: Config,
    directory: Path,
    listener: socket.socket | None,
    only: frozenset[str] | None,
    stopping: asyncio.Event,
) -> None:
    give_large_pieces_pages_of_their_own()
    raise_descriptor_limit()
    tracing, answers = tracing_of(config), ProcessOffload()
    async with contextlib.AsyncExitStack() as stack:
        door = None
        if listener is not None:
            front = await stack.enter_async_context(front_door(config))
            door, _ = await stack.enter_async_context(answering(listener, front))
        service = await stack.enter_async_context(
            open_service(
                config,
                directory,
                offload=answers,
                counter=None,
                tracing=tracing,
                kind=Kind.WORKER,
                sends_for=only,
                buried=buried,
                behind=behind,
            )
        )
        await _refuse_unknown(service, only)
        # The word that keys in files have changed. They are looked at by themselves, too, so it may be lost.
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, service.hints.keys.notify)
        await service.start()
        if door is not None and listener is not None:
            door.open(await _probes(config, service, listener))
        assert service.membership is not None
        _greet(config, directory, listener, only, service.membership.id)
        await stopping.wait()
        click.echo(stopping_line(service.in_flight, grace_seconds=config.worker.grace_seconds), err=True)
        await service.stop()
        # Asked now: of those who stop together, the last one has nobody.
        left = await _others_send(service)
        await answers.close()
        if tracing is not None:
            await tracing.close()
        who = "others go on" if left else "the next server or worker that is started goes on"
        click.echo(f"stopped; {who} where this ended", err=True)
    end_at_once_from_now_on()


async def _others_send(service: Service) -> bool:
    """Whether somebody else is there who sends. Where the ledger does not say it soon, nobody is promised."""
    assert service.membership is not None
    others = service.membership.others()
    try:
        async with asyncio.timeout(ASKED_SECONDS):
            there = await service.ledger.members()
    except (TimeoutError, StorageTrouble):
        return False
    return any(each.id in others and each.kind != Kind.API.value for each in there)


async def _refuse_unknown(service: Service, only: frozenset[str] | None) -> None:
    """Raises ConfigError where one is named that is neither in the configuration nor made over the API."""
    if only is None:
        return
    stored = [key_of(each.resource, each.name) for each in await service.ledger.deployments()]
    known = sorted({*(each.key for each in service.fleet.all()), *stored})
    unknown = sorted(only.difference(known))
    if not unknown:
        return
    # It is a member by now, and has nothing in hand.
    await service.stop()
    there = f"there are {_listed(known)}" if known else "there is none"
    raise ConfigError([f"--deployments names {_listed(unknown)}, and no deployment is called so; {there}"])


def _listed(keys: Sequence[str]) -> str:
    return ", ".join(keys[:NAMED_MAX]) + (f" and {len(keys) - NAMED_MAX:,} more" if len(keys) > NAMED_MAX else "")


async def _probes(config: Config, service: Service, listener: socket.socket) -> ASGIApp:
    """What can be asked of it."""
    if service.monitor is None:
        return probes_app(service.unready, service.backend_states)
    authenticator = None
    if listener.getsockname()[0] not in LOOPBACK:
        # Others reach it, so the page needs a key, as everywhere.
        keys = Keys(service.ledger, service.clock)
        await keys.load()
        authenticator = Authenticator(
            service_keys=config.api_keys,
            keys=keys,
            slow_down=SlowDown(service.clock),
            hosts={},
            resources=frozenset({DEFAULT, *(resource.name for resource in config.resources)}),
            verifier=None,
            may_open=False,
        )
    return probes_app(service.unready, service.backend_states, [metrics_route(service.monitor, authenticator)])


def _greet(
    config: Config, directory: Path, listener: socket.socket | None, only: frozenset[str] | None, member: str
) -> None:
    sends = "sends for all deployments" if only is None else f"sends for {_listed(sorted(only))}"
    line = f"slackwater {__version__} worker {sends}, {places_line(config, directory)}"
    if listener is not None:
        host, port = listener.getsockname()[:2]
        line += f", health and metrics on http://{f'[{host}]' if ':' in host else host}:{port}"
    # Whoever keeps it running reads here who of the members it is (adapters/ray/keeper.py).
    click.echo(f"{line}, member {member}")
    sys.stdout.flush()
