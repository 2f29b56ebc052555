"""What `slackwater run` says at its end: how it went, what failed most often, what to correct, and how to go on."""

from collections.abc import Iterable

from slackwater.cli.endpoint_look import refused_key
from slackwater.cli.local_run import End
from slackwater.cli.output import note
from slackwater.cli.patience import Cause, Stop, money
from slackwater.cli.progress import duration
from slackwater.cli.run_job import Job
from slackwater.core.batch import Batch, Status
from slackwater.core.input.whole_file import speaks_of_the_file
from slackwater.core.sending.evidence import Evidence, Kind
from slackwater.core.sending.refusals import unreadable
from slackwater.core.sending.request import Outcome
from slackwater.core.sending.upstream_words import on_one_line
from slackwater.pipeline.watching.error_groups import ErrorGroup
from slackwater.telemetry import counters

ALL_DONE, SOME_FAILED, USAGE, INVALID_INPUT, UNANSWERED, SPENT, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130
SHOWN_ERRORS = 20
SHOWN_REASONS, REASON_LENGTH_MAX = 5, 160


def conclude(job: Job, end: End, *, seen: str, key_env: str | None, quiet: bool) -> int:
    """Says how the run ended, and returns its exit code. `seen` is what was not as it should be before it began."""
    batch, counts = end.batch, end.batch.counts
    if batch.status is Status.FAILED:
        return _refused_input(job, batch)
    if not batch.terminal:
        return _stopped(job, end, seen=seen, key_env=key_env)
    if not quiet:
        usage = batch.usage
        took = duration(end.seconds)
        cost = f", cost {money(end.amount)}" if job.price is not None else ""
        note(
            f"{counts.completed:,} answered, {counts.failed:,} failed, {usage.input_tokens:,} tokens in, "
            f"{usage.output_tokens:,} out{cost}, {took}; sent {counters['requests_sent']:,} requests. "
            + (f"Answers: {job.output}" if job.print is None else "Answers: standard output")
        )
        if counts.failed:
            _say_reasons(end.reasons)
            note(f"Failed requests, each with its reason: {job.errors}. To send only these again: add --retry-failed")
        if end.left_out:
            note(
                f"{end.left_out:,} lines were not sent, because they are wrong; each is in {job.errors} with what is wrong"
            )
    if end.untaken is not None:
        note(
            f"error: standard output did not take all answers ({end.fault}); all {counts.completed:,} are in {end.untaken}"
        )
        return USAGE
    return SOME_FAILED if counts.failed or end.left_out else ALL_DONE


def _refused_input(job: Job, batch: Batch) -> int:
    errors = batch.errors or []
    for error in errors[:SHOWN_ERRORS]:
        where = f"{job.name}:{error.line}: " if error.line is not None else f"{job.name}: "
        note(f"{where}{error.code}: {error.message}")
    if len(errors) > SHOWN_ERRORS:
        note(f"... and {len(errors) - SHOWN_ERRORS} more")
    if job.backend.model is None and any(error.param == "body.model" for error in errors):
        note("--model NAME sends every line to one model, also where it names none")
    # Of a file that is wrong as a whole nothing would be left.
    lines = not job.skip_invalid and all(
        error.line is not None and not speaks_of_the_file(error.message) for error in errors
    )
    note(
        "nothing was sent; correct the input and run again"
        + (", or give --skip-invalid to leave wrong lines out" if lines else "")
    )
    return INVALID_INPUT


def _stopped(job: Job, end: End, *, seen: str, key_env: str | None) -> int:
    """A run that is to be continued. Said also where nothing but errors is to be shown: there is something to do."""
    counts, stop = end.batch.counts, end.stop
    done = f"{counts.completed + counts.failed:,} of {counts.total:,} done"
    if stop is None:
        note(f"interrupted with {done}; run the same command to continue")
    elif stop.cause is Cause.SPENT:
        note(
            f"error: {stop.said}; stopped with {done}, for {money(end.amount)}. Run it with a higher --max-cost to continue"
        )
    else:
        advice = _advice(stop, seen=seen, key_env=key_env)
        note(f"error: {stop.said}. {advice}Stopped with {done}, nothing is lost: run it again to continue")
    if counts.failed:
        _say_reasons(end.reasons)
    for outcome, what in ((Outcome.COMPLETED, "Answers"), (Outcome.FAILED, "Failed requests")):
        if outcome in end.kept:
            note(f"{what} so far: {end.kept[outcome]}")
    if stop is None:
        return INTERRUPTED
    return SPENT if stop.cause is Cause.SPENT else UNANSWERED


def _advice(stop: Stop, *, seen: str, key_env: str | None) -> str:
    """What to correct, as a sentence and a space; empty where only waiting helps."""
    said = seen or (_correction(stop.evidence, key_env) if stop.evidence is not None else "")
    if not said:
        return ""
    return f"{said[0].upper()}{said[1:]}{'' if said.endswith('?') else '.'} "


def _correction(evidence: Evidence, key_env: str | None) -> str:
    if unreadable(evidence):
        return "is the URL right? What answers there is no engine, or something in front of it wants a login"
    if evidence.kind is Kind.BLOCKED:
        return "the account behind the key may not go on: look at its quota and its bill"
    if evidence.status in (401, 403):
        inside = evidence.reason.startswith("status 2")
        return refused_key(f"{'says' if inside else 'answers'} {evidence.status}", key_env)
    return "is the URL right, up to what stands before /chat/completions, and is there such a model?"


def _say_reasons(reasons: Iterable[ErrorGroup]) -> None:
    """The most frequent reasons, a line each."""
    groups = list(reasons)
    for group in groups[:SHOWN_REASONS]:
        status = "" if group.status_code is None or str(group.status_code) in group.code else f"{group.status_code} "
        message = on_one_line(group.message or "")[:REASON_LENGTH_MAX]
        note(f"{group.count:>9,}  {status}{group.code}{f': {message}' if message else ''}")
    if len(groups) > SHOWN_REASONS:
        note(
            f"{sum(group.count for group in groups[SHOWN_REASONS:]):>9,}  for {len(groups) - SHOWN_REASONS} other reasons"
        )
