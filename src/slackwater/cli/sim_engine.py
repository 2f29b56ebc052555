"""`slackwater sim-engine`: a modelled inference engine to plan and to test with, where there is no GPU."""

import asyncio
import contextlib
import logging
import math
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

import click
import uvicorn
import uvloop

from slackwater.adapters.modelled_engine.online_traffic import KINDS
from slackwater.adapters.modelled_engine.shipped import PROFILES, profile_named
from slackwater.cli.output import USAGE, fail
from slackwater.config import LOOPBACK
from slackwater.core.engine_model import Queueing
from slackwater.core.errors import ConfigError
from slackwater.wiring.modelled_engine import EngineOptions, ModelledEngine, modelled_engine_of

TIME_SCALE_MAX = 10_000.0


class _Number(click.FloatRange):
    """A range of numbers; what is no number is none of them, although nothing is smaller or larger."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a number to reckon with", param, ctx)
        return number


POSITIVE = _Number(min=0, min_open=True)


def _listed(context: click.Context, _: click.Parameter, wanted: bool) -> None:
    if wanted:
        for name in PROFILES:
            profile = profile_named(name)
            click.echo(f"{name}: {profile.about}.\n    {profile.kv_tokens:,} tokens of KV cache; from {profile.source}")
        context.exit()


@click.command("sim-engine")
@click.option(
    "--profile",
    metavar="NAME|FILE",
    default="a100-8b",
    show_default=True,
    help=f"Which engine: {', '.join(PROFILES)}, or a file of your own.",
)
@click.option(
    "--profiles", is_flag=True, is_eager=True, expose_value=False, callback=_listed, help="List the profiles, and go."
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any that is free.")
@click.option(
    "--time-scale",
    type=_Number(min=0, min_open=True, max=TIME_SCALE_MAX),
    default=1.0,
    show_default=True,
    help="How many seconds of the engine go into one of yours.",
)
@click.option(
    "--online",
    metavar="KIND:RATE",
    help=f"Online users beside you: {', '.join(KINDS)}, with the mean of requests in a second of the engine.",
)
@click.option("--priority", "queueing", flag_value="priority", help="Queue by `priority`, as vLLM does if told to.")
@click.option(
    "--preempt",
    "queueing",
    flag_value="preempt",
    help="The same, and push out what runs for what is more urgent, as SGLang.",
)
@click.option("--no-prefix-cache", is_flag=True, help="Compute every prompt anew.")
@click.option("--max-waiting", type=click.IntRange(min=0), help="Answer 429 while so many requests wait.")
@click.option("--die-every", type=POSITIVE, metavar="SECONDS", help="Die so often, in seconds of the engine.")
@click.option(
    "--down-for", type=POSITIVE, metavar="SECONDS", default=30.0, show_default=True, help="How long it is gone then."
)
@click.option("--seed", type=int, default=0, show_default=True, help="For all that is drawn.")
def command(
    profile: str,
    host: str,
    port: int,
    time_scale: float,
    online: str | None,
    queueing: str | None,
    no_prefix_cache: bool,
    max_waiting: int | None,
    die_every: float | None,
    down_for: float,
    seed: int,
) -> None:
    """Serve a modelled inference engine: OpenAI's API, vLLM's metrics, the speed of a GPU that you need not have.

    It batches, caches prefixes, runs out of memory and slows down under load as vLLM does, within some 30 % of the real
    engine; the answers have no meaning. Tokens are four bytes of text. Answers are as long as `max_tokens`, or drawn
    from a trace where a request does not say it.

    \b
    How long will my file take on an A100, ten times as fast as there?
      slackwater sim-engine --profile a100-8b --time-scale 10
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1
    What does that do to the users of the engine?
      slackwater sim-engine --online azure-conv:3.0 --time-scale 10
      curl http://127.0.0.1:8000/sim/online

    Everything on the wire is in your time: divided by the time scale. What is said of online users, at /sim/online
    and at the end, is in the engine's. docs/sim-engine.md has what is modelled and the form of a profile.
    """
    options = EngineOptions(
        profile=profile,
        time_scale=time_scale,
        online=online,
        queueing=Queueing(queueing or "fcfs"),
        prefix_cache=not no_prefix_cache,
        max_waiting=max_waiting,
        die_every=die_every,
        down_for=down_for,
        seed=seed,
    )
    try:
        parts = modelled_engine_of(options)
    except ConfigError as error:
        fail("; ".join(error.faults), USAGE)
    try:
        listener = socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=1024
        )
    except OSError as error:
        fail(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port", USAGE)
    if host not in LOOPBACK:
        click.echo(f"warning: whoever reaches {host} can use this engine: it asks for no key", err=True)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(parts, listener, options))
    _say_end(parts)


class _Server(uvicorn.Server):
    """Uvicorn without its signal handlers: it would end the process before the last words."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def _serve(parts: ModelledEngine, listener: socket.socket, options: EngineOptions) -> None:
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    server = _Server(
        uvicorn.Config(
            parts.app,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            http=parts.connections.protocol(),
            ws="none",
            timeout_graceful_shutdown=1,
        )
    )
    loop = asyncio.get_running_loop()
    working = asyncio.create_task(parts.engine.run())

    def stop() -> None:
        # Nobody waits for answers that may take hours: whoever does is cut off, and sees an engine that has gone.
        server.should_exit = True
        working.cancel()
        parts.engine.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    host, port = listener.getsockname()[:2]
    scale = "" if options.time_scale == 1 else f", {options.time_scale:g} times as fast"
    place = f"[{host}]" if ":" in host else host
    click.echo(f"Modelled engine {parts.engine.model.profile.name}{scale}: http://{place}:{port}/v1 (Ctrl-C ends it)")
    sys.stdout.flush()
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    # The engine ends by an error alone, which nobody should wait for.
    await asyncio.wait({working, serving}, return_when=asyncio.FIRST_COMPLETED)
    server.should_exit = True
    await serving
    with contextlib.suppress(asyncio.CancelledError):
        await working


def _say_end(parts: ModelledEngine) -> None:
    """What online users have had, and whether time was slowed down."""
    engine = parts.engine
    if engine.deaths_so_far:
        click.echo(f"It died {engine.deaths_so_far} times.")
    if engine.traffic is not None:
        report = engine.traffic.report()
        click.echo(f"Online: {report['requests']} requests, {report['finished']} finished, {report['lost']} lost.")
        for name, key in (("time to first token", "ttft_seconds"), ("time per output token", "tpot_seconds")):
            if report[key]["p50"] is not None:
                said = ", ".join(f"{percent} {value * 1e3:.1f} ms" for percent, value in report[key].items())
                click.echo(f"  {name}: {said}")
    if engine.behind_seconds > 1:
        said = f"{engine.behind_seconds:.1f} s: this machine is too slow for that --time-scale"
        click.echo(f"warning: time was slowed down by {said}", err=True)
