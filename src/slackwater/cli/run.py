"""`slackwater run`: one file of requests against one endpoint, resumable, without a server."""

import asyncio
import contextlib
import logging
import os
import re
import signal
import sys
from pathlib import Path

import click
import uvloop

from slackwater.cli.amounts import Seconds, amount, price_pair
from slackwater.cli.endpoint_look import look
from slackwater.cli.input_files import first_model
from slackwater.cli.local_run import End, run
from slackwater.cli.output import fail, note
from slackwater.cli.patience import Patience
from slackwater.cli.progress import progress_bar
from slackwater.cli.recipe_options import Wanted, recipe_options
from slackwater.cli.results import errors_beside
from slackwater.cli.run_end import ALL_DONE, INTERRUPTED, SOME_FAILED, UNANSWERED, USAGE, conclude
from slackwater.cli.run_input import STANDARD, spooled
from slackwater.cli.run_job import Job
from slackwater.cli.run_rows import Table, check_table, holds_a_table, put_beside, requests_of
from slackwater.cli.server_options import told
from slackwater.cli.stopping import stopping_line
from slackwater.config import CONCURRENCY, BackendConfig
from slackwater.core.accounts.price import Price
from slackwater.core.batch import Batch
from slackwater.core.errors import BackendError, ConfigError, DataDirectoryError, StorageFull, UserError
from slackwater.core.masking import shown_url
from slackwater.core.sending.pace import PACED_CONCURRENCY, pace_of

HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE = re.compile(r"[\t\x20-\x7e]*")
OUR_HEADERS = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding"}
)
# Events of the log about what the progress shows.
SAID = ("backend_state", "engine_silent")


def _headers(_: click.Context, __: click.Parameter, given: tuple[str, ...]) -> dict[str, str]:
    """Names and values. What is wrong with one is said without its value, which may be a secret."""
    found = {}
    for number, text in enumerate(given, 1):
        name, mark, value = text.partition(":")
        if not mark or not HEADER_NAME.fullmatch(name):
            raise click.BadParameter(f"number {number} is not NAME:VALUE, such as X-Team:blue")
        if name.lower() in OUR_HEADERS:
            raise click.BadParameter(f"{name} is set by slackwater itself")
        if not HEADER_VALUE.fullmatch(value):
            raise click.BadParameter(f"the value of {name} has characters that no header may have")
        found[name] = value.strip()
    return found


def _pace(_: click.Context, __: click.Parameter, given: str | None) -> str | None:
    if given is not None:
        try:
            pace_of(given)
        except ValueError as error:
            raise click.BadParameter(str(error)) from error
    return given


@click.command("run")
@click.argument("input", type=click.Path(exists=True, dir_okay=False, allow_dash=True, path_type=Path))
@click.option(
    "-o",
    "--output",
    required=True,
    type=click.Path(dir_okay=False, allow_dash=True, path_type=Path),
    help="Answers; - is standard output.",
)
@click.option(
    "-e",
    "--errors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Failed requests, made only if there are any.  [default: OUTPUT (INPUT where that is -) with .errors before its ending]",
)
@click.option("--backend", required=True, metavar="URL", help="Base URL, such as http://127.0.0.1:8000/v1.")
@click.option(
    "-m", "--model", help="Model name to send with every line, whatever it says, or where it says none. Rows need it."
)
@click.option(
    "--concurrency",
    type=click.IntRange(1, 10_000),
    help=f"Requests in flight; the most of them where the engine is paced.  [default: {CONCURRENCY}, paced {PACED_CONCURRENCY}]",
)
@click.option(
    "--pace",
    callback=_pace,
    metavar="PACE",
    help="How much of the engine to take beside others: gentle, strict, full, fixed, or the time between two tokens that they "
    "may see, such as 50ms.  [default: gentle where the engine's metrics page is found, else fixed]",
)
@click.option("--api-key-env", metavar="NAME", help="Environment variable that holds the endpoint's API key.")
@click.option(
    "--header",
    "headers",
    multiple=True,
    callback=_headers,
    metavar="NAME:VALUE",
    help="Sent with every request; may be given again. Values are not shown.",
)
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
@click.option("--in-order", is_flag=True, help="Put results into the order of INPUT, when the run has ended.")
@click.option(
    "--skip-invalid",
    is_flag=True,
    help="Leave wrong lines out; ERRORS has each with what is wrong, and the exit code is 1.",
)
@click.option(
    "--max-calls-per-line",
    type=click.IntRange(1),
    metavar="N",
    help="A line fails that was taken so often and not answered, in an outage too.",
)
@click.option("--max-cost", callback=amount, metavar="AMOUNT", help="Stop when the answers cost so much, at --price.")
@click.option("--price", callback=price_pair, metavar="IN,OUT", help="For a million tokens each, such as 2.50,10.00.")
@recipe_options
@click.option("--overwrite", is_flag=True, help="Replace OUTPUT and ERRORS if they exist.")
@click.option("-q", "--quiet", is_flag=True, help="Show nothing but errors.")
def command(
    input: Path,
    output: Path,
    errors: Path | None,
    backend: str,
    model: str | None,
    concurrency: int | None,
    pace: str | None,
    api_key_env: str | None,
    headers: dict[str, str],
    attempts: int,
    timeout: float,
    give_up_after: float,
    retry_failed: bool,
    follow: bool,
    in_order: bool,
    skip_invalid: bool,
    max_calls_per_line: int | None,
    max_cost: int | None,
    price: tuple[int, int] | None,
    wanted: Wanted,
    overwrite: bool,
    quiet: bool,
) -> None:
    """Run every request of the JSON Lines file INPUT, or every row of a table, against an OpenAI-compatible endpoint.

    Lines are those of the batch API: custom_id, method, url, body. Each may have another model and another endpoint, of those
    that a batch may have. INPUT may be - or a pipe, too. All of it is validated before anything is sent. If the
    run is interrupted, by Ctrl-C or by a crash, the same command continues where it stopped; answers that had
    been written down, a moment after they came, are not paid for again.

    An endpoint that lets nobody in (a wrong key, URL or model, a quota that is used up) or gives no readable answer is seen
    after 20 refusals or fewer, one that answers nobody, or with errors only, after --give-up-after. The run stops and says
    why. No line fails for that: correct the command, and it continues. Meanwhile the progress says what it waits for.

    INPUT may also be rows: CSV, TSV, Parquet, a JSON array, JSON Lines without requests, plain text. Each becomes a request,
    as with 'slackwater prepare' (--template, --system, --schema, --image, --set), and OUTPUT (.csv, .tsv, .jsonl, .json or
    .parquet) has the rows with their answers, as with 'slackwater join'. The answers as they came are beside it, in OUTPUT's
    name with .results.jsonl.

    \b
    Exit codes: 0 all answered
                1 some requests failed or were left out (see ERRORS; --retry-failed sends them again)
                2 wrong usage, or a file or standard output that takes no answers (it says where they are)
                3 invalid input, nothing was sent
                4 the endpoint lets nobody in, gives no readable answer or answers nobody (run it again to continue)
                5 --max-cost is reached (raise it to continue)
                130 interrupted (run it again to continue)
    \b
    Examples:
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1 --pace strict
      slackwater run reviews.csv -o answered.csv --backend http://127.0.0.1:8000/v1 -m llama -t 'Friendly? {text}'
      slackwater run questions.jsonl -o answers.jsonl --backend http://127.0.0.1:8000/v1 --retry-failed
      zcat questions.jsonl.gz | slackwater run - -o - --backend http://127.0.0.1:8000/v1 --in-order > answers.jsonl
    """
    _log_to_stderr()
    if (max_cost is None) is not (price is None):
        fail("--max-cost and --price belong together: what answers cost is reckoned from their tokens", USAGE)
    table = None
    if holds_a_table(input, wanted):
        table = Table(input=input, output=output, wanted=wanted)
        with told():
            model = check_table(table, model=model, replaces=overwrite, retry_failed=retry_failed)
        output, errors = table.results, errors or table.errors
    to_stdout = output == STANDARD
    if to_stdout:
        if retry_failed:
            fail("--retry-failed puts answers into the OUTPUT of an earlier run; name that file instead of -", USAGE)
        named = Path("stdin.jsonl") if input == STANDARD else Path(input.name)
        errors = errors or errors_beside(named)
        # Nothing is written there, but the state lies beside it.
        output = Path(f".{named.name}.stdout")
        if not in_order:
            # As they come; nobody has to wait for the end.
            follow = True
    with contextlib.ExitStack() as held:
        rows = input
        digest: str | None
        try:
            if table is not None:
                with told():
                    source, digest, rows = held.enter_context(
                        requests_of(table, model=model or "", retry_failed=retry_failed)
                    )
            else:
                source, digest = held.enter_context(spooled(input))
        except OSError as error:
            fail(f"{input}: {error.strerror}", USAGE)
        job = Job(
            input=source,
            digest=digest,
            name="standard input" if input == STANDARD else str(input),
            table=table is not None,
            output=output,
            errors=errors or errors_beside(output),
            backend=BackendConfig(
                url=backend,
                model=model,
                concurrency=concurrency,
                headers=headers,
                attempts=attempts,
                total_seconds=timeout,
                first_byte_seconds=timeout,
            ),
            key=_key(api_key_env),
            pace=pace,
            patience=Patience(slots=concurrency or CONCURRENCY, give_up_seconds=give_up_after, amount_max=max_cost),
            replaces=overwrite,
            retry_failed=retry_failed,
            calls_per_line=max_calls_per_line,
            price=None if price is None else Price(input=price[0], cached_input=price[0], output=price[1]),
            follow=_print if follow else None,
            print=_print if to_stdout else None,
            in_order=in_order,
            skip_invalid=skip_invalid,
        )
        code = _run(job, key_env=api_key_env, overwrite=overwrite, quiet=quiet)
        if table is not None and code in (ALL_DONE, SOME_FAILED):
            with told():
                put_beside(table, rows, job.errors, quiet=quiet)
        sys.exit(code)


def _run(job: Job, *, key_env: str | None, overwrite: bool, quiet: bool) -> int:
    """Runs the job and says how it ended; returns the exit code."""
    backend = shown_url(job.backend.url or "")
    _check_files(job, overwrite=overwrite)
    try:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            seen, end = runner.run(_main(job, key_env, quiet=quiet))
    except BackendError as error:
        fail(f"nothing answers at {backend}: {error}. Is the engine running, and is the URL right?", UNANSWERED)
    except UserError as error:
        fail(error.message, USAGE)
    except DataDirectoryError as error:
        if f"{job.state} is in use" in str(error):
            fail(f"another run writes to {job.output} at this moment; wait for it, or choose another -o", USAGE)
        fail(str(error), USAGE)
    except StorageFull as error:
        fail(f"{error}; then the same command continues", USAGE)
    except ConfigError as error:
        fail(f"--backend: {error}", USAGE)
    except ValueError as error:
        fail(f"--backend {backend}: {error}", USAGE)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), USAGE)
    except asyncio.CancelledError:
        fail("interrupted before anything was sent; run the same command to continue", INTERRUPTED)
    return conclude(job, end, seen=seen, key_env=key_env, quiet=quiet)


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
    if job.print is not None and sys.stdout is None:
        fail("there is no standard output to write answers to; name a file with -o", USAGE)
    for path in (job.output, job.errors):
        if path.is_symlink() or (path.exists() and not path.is_file()):
            fail(
                f"{path} is no file, and would be replaced by one; name a file, or give -o - and send standard output there",
                USAGE,
            )
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

    with progress_bar(Path(job.name).name, quiet=quiet) as show:
        return seen, await run(job, show=show, resumed=resumed, stopping=stopping)
