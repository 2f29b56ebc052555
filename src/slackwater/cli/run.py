"""`slackwater run`: one file of requests against one endpoint, resumable, without a server."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click
import uvloop

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_pool import Timeouts
from slackwater.cli.local_run import GaveUp, Job, run
from slackwater.cli.progress import duration, progress_bar
from slackwater.config import BackendConfig
from slackwater.core.batch import Batch, Status
from slackwater.core.errors import BackendError, ConfigError, DataDirectoryError, UserError
from slackwater.telemetry import counters

ALL_DONE, SOME_FAILED, USAGE, INVALID_INPUT, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 130
SHOWN_ERRORS = 20


@click.command("run")
@click.argument("input", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-o", "--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="Answers.")
@click.option(
    "-e",
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Failed requests, made only if there are any.  [default: OUTPUT with .errors before its ending]",
)
@click.option("--backend", required=True, metavar="URL", help="Base URL, such as http://127.0.0.1:8000/v1.")
@click.option("--model", help="Model name to send instead of what the lines say.")
@click.option(
    "--concurrency", type=click.IntRange(1, 10_000), default=64, show_default=True, help="Requests in flight."
)
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the endpoint's API key.")
@click.option(
    "--attempts", type=click.IntRange(1), default=5, show_default=True, help="Calls per request before it failed."
)
@click.option("--timeout", type=float, default=1800.0, show_default=True, help="Seconds for one whole answer.")
@click.option(
    "--give-up",
    type=click.FloatRange(0),
    default=300.0,
    show_default=True,
    help="Seconds that the endpoint may answer nobody before the run ends; the same command continues it.",
)
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT if it exists.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but errors.")
def command(
    input: Path,
    output: Path,
    errors: Path | None,
    backend: str,
    model: str | None,
    concurrency: int,
    api_key_env: str | None,
    attempts: int,
    timeout: float,
    give_up: float,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Run every request of the JSON Lines file INPUT against an OpenAI-compatible endpoint.

    Lines are those of the batch API: custom_id, method, url, body. The file is validated before anything is sent. If the
    run is interrupted, by Ctrl-C or by a crash, the same command continues where it stopped; answers that had
    been written down, a moment after they came, are not paid for again.

    \b
    Exit codes: 0 all answered, 1 some requests failed (see ERRORS), 2 wrong usage, 3 invalid input,
                4 nothing answers at the URL (run it again to continue), 130 interrupted (run it again to continue).
    \b
    Example:
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1 --concurrency 128
    """
    logging.basicConfig(level="WARNING", format="%(levelname)s %(message)s", stream=sys.stderr)
    job = Job(
        input=input,
        output=output,
        errors=errors or output.with_name(output.stem + ".errors" + (output.suffix or ".jsonl")),
        backend=BackendConfig(
            url=backend,
            model=model,
            concurrency=concurrency,
            attempts=attempts,
            total_seconds=timeout,
            first_byte_seconds=timeout,
        ),
        key=_key(api_key_env),
        give_up_seconds=give_up,
    )
    if len({path.resolve() for path in (job.input, job.output, job.errors)}) < 3:
        _fail("INPUT, OUTPUT and ERRORS must be three different files", USAGE)
    for path in (job.output, job.errors):
        if path.exists() and not overwrite and not job.state.exists():
            _fail(f"{path} exists; choose another name, or give --overwrite to replace it", USAGE)
    if not job.output.parent.is_dir():
        _fail(f"{job.output.parent} is no directory; make it first", USAGE)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            batch, interrupted = runner.run(_main(job, quiet=quiet))
    except BackendError as error:
        _fail(f"nothing answers at {backend}: {error}. Is the engine running, and is the URL right?", UNREACHABLE)
    except GaveUp as error:
        _fail(
            f"gave up after {give_up:g} s in which nothing was answered: {error}. Run it again to continue", UNREACHABLE
        )
    except UserError as error:
        _fail(error.message, USAGE)
    except DataDirectoryError as error:
        _fail(str(error), USAGE)
    except ConfigError as error:
        _fail(f"--backend: {error}", USAGE)
    except ValueError as error:
        _fail(f"--backend {backend}: {error}", USAGE)
    except asyncio.CancelledError:
        _fail("interrupted before anything was sent; run the same command to continue", INTERRUPTED)
    sys.exit(_conclude(job, batch, interrupted=interrupted, quiet=quiet))


def _key(name: str | None) -> str | None:
    if name is None:
        return None
    if not os.environ.get(name):
        _fail(f"the environment variable {name} is not set; set it to the endpoint's API key first", USAGE)
    return os.environ[name]


def _fail(message: str, code: int) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(code)


async def _main(job: Job, *, quiet: bool) -> tuple[Batch, bool]:
    await _probe(job)
    loop = asyncio.get_running_loop()
    working = asyncio.current_task()
    assert working is not None, "commands run as a task"

    def on_signal() -> None:
        if working.cancelling():
            os._exit(INTERRUPTED)
        click.echo("\nstopping: waiting for the requests in flight (again: leave at once)", err=True)
        working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)

    def resumed(batch: Batch) -> None:
        done = batch.counts.completed + batch.counts.failed
        if not quiet:
            click.echo(f"continuing an interrupted run: {done:,} of {batch.counts.total:,} are done", err=True)

    with progress_bar(job.input.name, quiet=quiet) as show:
        return await run(job, show=show, resumed=resumed)


async def _probe(job: Job) -> None:
    """Whether anybody listens, before a long wait for nobody. Any HTTP answer will do."""
    assert job.backend.url is not None
    client = HttpBackend(job.backend.url, timeouts=Timeouts(connect=5.0, first_byte=10.0, total=10.0))
    try:
        await client.get("/models")
    finally:
        await client.close()


def _conclude(job: Job, batch: Batch, *, interrupted: bool, quiet: bool) -> int:
    counts = batch.counts
    if interrupted:
        done = counts.completed + counts.failed
        click.echo(f"interrupted with {done:,} of {counts.total:,} done; run the same command to continue", err=True)
        return INTERRUPTED
    if batch.status is Status.FAILED:
        errors = batch.errors or []
        for error in errors[:SHOWN_ERRORS]:
            where = f"{job.input}:{error.line}: " if error.line is not None else f"{job.input}: "
            click.echo(f"{where}{error.code}: {error.message}", err=True)
        if len(errors) > SHOWN_ERRORS:
            click.echo(f"... and {len(errors) - SHOWN_ERRORS} more", err=True)
        click.echo("nothing was sent; correct the input and run again", err=True)
        return INVALID_INPUT
    if not quiet:
        usage = batch.usage
        took = duration((batch.completed_at or 0) - batch.created_at)
        click.echo(
            f"{counts.completed:,} answered, {counts.failed:,} failed, {usage.input_tokens:,} tokens in, "
            f"{usage.output_tokens:,} out, {took}; sent {counters['requests_sent']:,} requests. Answers: {job.output}",
            err=True,
        )
        if counts.failed:
            click.echo(f"Failed requests, each with its reason: {job.errors}", err=True)
    return SOME_FAILED if counts.failed else ALL_DONE
