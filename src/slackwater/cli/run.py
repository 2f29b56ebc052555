"""`slackwater run`: one file of requests against one endpoint, resumable, without a server."""

import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

import click
import uvloop

from slackwater.cli.amounts import Seconds, amount, price_pair
from slackwater.cli.endpoint_look import look
from slackwater.cli.input_files import first_model
from slackwater.cli.local_run import End, Job, run
from slackwater.cli.output import fail, note
from slackwater.cli.patience import Patience
from slackwater.cli.progress import progress_bar
from slackwater.cli.results import errors_beside
from slackwater.cli.run_end import ALL_DONE, INTERRUPTED, UNANSWERED, USAGE, conclude
from slackwater.cli.stopping import stopping_line
from slackwater.config import CONCURRENCY, BackendConfig
from slackwater.core.accounts.price import Price
from slackwater.core.batch import Batch
from slackwater.core.errors import BackendError, ConfigError, DataDirectoryError, UserError

# Events of the log about what the progress shows.
SAID = ("backend_state", "engine_silent")


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
    "--concurrency", type=click.IntRange(1, 10_000), default=CONCURRENCY, show_default=True, help="Requests in flight."
)
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the endpoint's API key.")
@click.option(
    "--attempts",
    type=click.IntRange(1),
    default=5,
    show_default=True,
    help="Calls that fail before a request does, while others are answered.",
)
@click.option(
    "--timeout",
    type=Seconds(0, min_open=True),
    default=1800.0,
    show_default=True,
    help="Seconds for one whole answer.",
)
@click.option(
    "--give-up-after",
    type=Seconds(0),
    default=600.0,
    show_default=True,
    metavar="SECONDS",
    help="Stop when nothing has succeeded for so long, and say why; 0: never. Longer than one answer takes.",
)
@click.option(
    "--retry-failed", is_flag=True, help="Send only the lines in ERRORS again; what comes joins OUTPUT and ERRORS."
)
@click.option("--follow", is_flag=True, help="Print answers as they come, from the first one on.")
@click.option(
    "--max-calls-per-line",
    type=click.IntRange(1),
    metavar="N",
    help="A line fails that was taken so often and not answered, in an outage too.",
)
@click.option("--max-cost", callback=amount, metavar="AMOUNT", help="Stop when the answers cost so much, at --price.")
@click.option("--price", callback=price_pair, metavar="IN,OUT", help="For a million tokens each, such as 2.50,10.00.")
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT and ERRORS if they exist.")
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
    give_up_after: float,
    retry_failed: bool,
    follow: bool,
    max_calls_per_line: int | None,
    max_cost: int | None,
    price: tuple[int, int] | None,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Run every request of the JSON Lines file INPUT against an OpenAI-compatible endpoint.

    Lines are those of the batch API: custom_id, method, url, body. The file is validated before anything is sent. If the
    run is interrupted, by Ctrl-C or by a crash, the same command continues where it stopped; answers that had
    been written down, a moment after they came, are not paid for again.

    An endpoint that lets nobody in (a wrong key, URL or model, a quota that is used up) or gives no readable answer is seen
    after 20 refusals or fewer, one that answers nobody, or with errors only, after --give-up-after. The run stops and says
    why. No line fails for that: correct the command, and it continues. Meanwhile the progress says what it waits for.

    \b
    Exit codes: 0 all answered
                1 some requests failed (see ERRORS; --retry-failed sends them again)
                2 wrong usage
                3 invalid input, nothing was sent
                4 the endpoint lets nobody in, gives no readable answer or answers nobody (run it again to continue)
                5 --max-cost is reached (raise it to continue)
                130 interrupted (run it again to continue)
    \b
    Examples:
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1 --concurrency 128
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1 --retry-failed
    """
    _log_to_stderr()
    if (max_cost is None) is not (price is None):
        fail("--max-cost and --price belong together: what answers cost is reckoned from their tokens", USAGE)
    job = Job(
        input=input,
        output=output,
        errors=errors or errors_beside(output),
        backend=BackendConfig(
            url=backend,
            model=model,
            concurrency=concurrency,
            attempts=attempts,
            total_seconds=timeout,
            first_byte_seconds=timeout,
        ),
        key=_key(api_key_env),
        patience=Patience(slots=concurrency, give_up_seconds=give_up_after, amount_max=max_cost),
        retry_failed=retry_failed,
        calls_per_line=max_calls_per_line,
        price=None if price is None else Price(input=price[0], cached_input=price[0], output=price[1]),
        follow=_print if follow else None,
    )
    _check_files(job, overwrite=overwrite)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seen, end = runner.run(_main(job, api_key_env, quiet=quiet))
    except BackendError as error:
        fail(f"nothing answers at {backend}: {error}. Is the engine running, and is the URL right?", UNANSWERED)
    except UserError as error:
        fail(error.message, USAGE)
    except DataDirectoryError as error:
        fail(str(error), USAGE)
    except ConfigError as error:
        fail(f"--backend: {error}", USAGE)
    except ValueError as error:
        fail(f"--backend {backend}: {error}", USAGE)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), USAGE)
    except asyncio.CancelledError:
        fail("interrupted before anything was sent; run the same command to continue", INTERRUPTED)
    sys.exit(conclude(job, end, seen=seen, key_env=api_key_env, quiet=quiet))


def _log_to_stderr() -> None:
    """What is worth a warning, but for the state of the endpoint: the progress says that better."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(
        lambda record: not (isinstance(record.args, tuple) and record.args[:1] and record.args[0] in SAID)
    )
    logging.basicConfig(level="WARNING", format="%(levelname)s %(message)s", handlers=[handler])


def _key(name: str | None) -> str | None:
    if name is None:
        return None
    if not os.environ.get(name):
        fail(f"the environment variable {name} is not set; set it to the endpoint's API key first", USAGE)
    return os.environ[name]


def _check_files(job: Job, *, overwrite: bool) -> None:
    """Ends the command where a file would be replaced unasked, or cannot be made. An empty one is in nobody's way."""
    if len({path.resolve() for path in (job.input, job.output, job.errors)}) < 3:
        fail("INPUT, OUTPUT and ERRORS must be three different files", USAGE)
    if not job.output.parent.is_dir():
        fail(f"{job.output.parent} is no directory; make it first", USAGE)
    if job.state.exists():
        return
    there = [path for path in (job.output, job.errors) if path.exists() and path.stat().st_size]
    if job.retry_failed:
        if job.errors not in there:
            if job.output not in there:
                fail(f"there is neither {job.output} nor {job.errors}; run it without --retry-failed first", USAGE)
            note(f"nothing has failed: there is no {job.errors}; nothing was sent")
            sys.exit(ALL_DONE)
    elif there and not overwrite:
        again = ", give --retry-failed to send again what failed," if job.errors in there else ","
        fail(f"{there[0]} exists; choose another name{again} or give --overwrite to replace it", USAGE)


def _print(answers: bytes) -> None:
    try:
        sys.stdout.buffer.write(answers)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # Whoever read has seen enough. What Python still holds must not fail again at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


async def _main(job: Job, key_env: str | None, *, quiet: bool) -> tuple[str, End]:
    """What was seen at the endpoint before anything was sent, and how the run ended."""
    model = job.backend.model or first_model(job.input)
    seen = await look(job.backend, key=job.key, key_env=key_env, model=model)
    if seen:
        note(f"{seen} (trying all the same)")
    loop = asyncio.get_running_loop()
    working = asyncio.current_task()
    assert working is not None, "commands run as a task"

    stopped = False

    def on_signal() -> None:
        if stopped or working.cancelling():
            if sys.stderr.isatty():
                # The bar has hidden the cursor, and has no time to bring it back.
                click.echo("\x1b[?25h", err=True)
            note("stopped at once; run the same command to continue")
            os._exit(INTERRUPTED)
        working.cancel()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)

    def resumed(batch: Batch) -> None:
        done = batch.counts.completed + batch.counts.failed
        if not quiet:
            note(f"continuing an interrupted run: {done:,} of {batch.counts.total:,} are done")

    def stopping(calls: int) -> None:
        nonlocal stopped
        stopped = True
        # Said also where nothing but errors is to be shown: somebody waits.
        again = working.cancelling() > 0
        if sys.stderr.isatty():
            # Below the bar, and what the terminal writes for a Ctrl-C.
            click.echo(err=True)
        note(stopping_line(calls, grace_seconds=job.grace_seconds, again=again))

    with progress_bar(job.input.name, quiet=quiet) as show:
        return seen, await run(job, show=show, resumed=resumed, stopping=stopping)
