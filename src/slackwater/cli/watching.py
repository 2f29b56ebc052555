"""Waiting for the end of a batch on a server: how far it is, how it ended, and what to type to go on waiting."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from slackwater.cli.output import INTERRUPTED, WENT_WRONG, moment, note, print_json
from slackwater.cli.progress import Progress, duration, progress_bar
from slackwater.cli.server_options import Asked
from slackwater.cli.states import delay_line
from slackwater.core.errors import CallFailed, ServerUnreachable

if TYPE_CHECKING:
    from slackwater.client.api import Api

ENDED = ("completed", "failed", "expired", "cancelled")
FIRST_WAIT = 0.25
# A server that is being replaced, or a laptop that was closed, is waited for so long.
PATIENCE_SECONDS = 600.0
AWAY_WAIT = 5.0
SHOWN_ERRORS = 20


class Interrupted(Exception):
    """The user does not want to wait any more. The batch goes on."""

    def __init__(self, batch_id: str) -> None:
        super().__init__(batch_id)
        self.batch_id = batch_id


def wait_for_end(api: "Api", batch: dict[str, Any], *, quiet: bool) -> dict[str, Any]:
    """Shows a batch until it has ended, and returns it as it is then. Raises CallFailed, Interrupted.

    Where no more than the id of `batch` is known, the first look is patient, too.
    """
    wait, longest = FIRST_WAIT, api.connection.target.dialect.poll_seconds
    try:
        with progress_bar(_short(str(batch["id"])), quiet=quiet) as show:
            if "status" not in batch:
                batch = _patiently(api, str(batch["id"]))
            while True:
                show(reading(batch, waiting=why_it_waits(api, batch)))
                if batch.get("status") in ENDED:
                    return batch
                time.sleep(wait)
                wait = min(wait * 1.3, longest)
                batch = _patiently(api, str(batch["id"]))
    except KeyboardInterrupt:
        raise Interrupted(str(batch["id"])) from None


def _short(batch_id: str) -> str:
    """Enough of an id to know it by, so that the bar has room."""
    return batch_id if len(batch_id) <= 16 else f"{batch_id[:14]}…"


def is_away(api: "Api", failed: CallFailed) -> bool:
    """Whether a server cannot answer at the moment. One that has never been reached has another address, most likely."""
    return api.connection.answered if isinstance(failed, ServerUnreachable) else (failed.status or 0) >= 500


def _patiently(api: "Api", batch_id: str) -> dict[str, Any]:
    """A look at the batch. A server that is away for a while costs nothing but time: the batch is where it was."""
    given_up_at = time.monotonic() + PATIENCE_SECONDS
    wait, told = FIRST_WAIT, False
    while True:
        try:
            return api.batch(batch_id)
        except CallFailed as failed:
            if not is_away(api, failed) or time.monotonic() > given_up_at:
                raise
            if not told:
                note(f"{failed.message} (waiting for it)")
                told = True
            time.sleep(wait)
            wait = min(wait * 2, AWAY_WAIT)


def why_it_waits(api: "Api", batch: dict[str, Any]) -> str:
    """Why a batch does not get on, in words; empty while it does, or where the server does not say."""
    if not api.ours or batch.get("status") not in ("validating", "in_progress", "finalizing"):
        return ""
    try:
        return delay_line(api.progress(str(batch["id"])))
    except CallFailed:
        # An older server does not have it. Whether one is there at all, the look at the batch says.
        return ""


def kept_until(api: "Api", batch: dict[str, Any]) -> str:
    """When an ended batch goes; empty where it has not ended or stays, or where the server does not say."""
    if not api.ours or batch.get("status") in ("validating", "in_progress", "finalizing", "cancelling"):
        return ""
    try:
        return moment(api.progress(str(batch["id"])).get("kept_until"))
    except CallFailed:
        return ""


def reading(batch: dict[str, Any], *, waiting: str = "") -> Progress:
    """How far a batch is. Some servers count nothing at first."""
    counts = batch.get("request_counts") or {}
    usage = batch.get("usage") or {}
    completed, failed = counts.get("completed") or 0, counts.get("failed") or 0
    return Progress(
        done=completed + failed,
        total=counts.get("total") or 0,
        failed=failed,
        tokens=usage.get("total_tokens"),
        phase=str(batch.get("status") or ""),
        waiting=waiting,
    )


def follow(api: "Api", batch: dict[str, Any], *, asked: Asked, output: Path | None, quiet: bool) -> int:
    """Waits, downloads where that is wanted, says how it ended; returns the exit code. Raises CallFailed."""
    try:
        batch = wait_for_end(api, batch, quiet=quiet)
    except Interrupted as interrupted:
        # A second Ctrl-C must not cut off the one line that says how to go on.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        note(f"\n{_again(interrupted.batch_id, asked, output)}")
        return INTERRUPTED
    except CallFailed as failed:
        if is_away(api, failed):
            note(_again(str(batch["id"]), asked, output))
        raise
    saved: dict[str, Path] = {}
    if output is not None and batch["status"] != "failed":
        from slackwater.cli.results import save_results

        saved = save_results(api, batch, output, quiet=quiet)
    if asked.as_json:
        print_json(batch)
    return conclude(batch, saved, quiet=quiet, again=asked if api.ours else None)


def _again(batch_id: str, asked: Asked, output: Path | None) -> str:
    words = ["batches", "watch", batch_id]
    words += [] if output is None else ["--output", str(output)]
    return f"the batch goes on; to wait for it again: {asked.command(*words)}"


def conclude(batch: dict[str, Any], saved: dict[str, Path], *, quiet: bool, again: Asked | None) -> int:
    """Says how a batch ended. Exit code 0 is for one that was completed without a failed line.

    `again` is the server where failed lines can be tried again.
    """
    now, status = reading(batch), str(batch.get("status"))
    if status == "failed":
        errors = ((batch.get("errors") or {}).get("data")) or []
        for error in errors[:SHOWN_ERRORS]:
            where = "" if error.get("line") is None else f"line {error['line']}: "
            note(f"{where}{error.get('code')}: {error.get('message')}")
        if len(errors) > SHOWN_ERRORS:
            note(f"... and {len(errors) - SHOWN_ERRORS:,} more")
        note(
            f"{batch['id']} failed: its input file was refused, and nothing was sent. Correct the file and submit it again."
        )
        return WENT_WRONG
    clean = status == "completed" and not now.failed
    if quiet and clean:
        return 0
    ended_at = batch.get(f"{status}_at")
    took = "" if ended_at is None else f" in {duration(ended_at - batch['created_at'])}"
    note(f"{batch['id']} {status}{took}: {now.done - now.failed:,} of {now.total:,} answered, {now.failed:,} failed")
    for error in ((batch.get("errors") or {}).get("data")) or []:
        note(f"{error.get('code')}: {error.get('message')}")
    for kind, path in saved.items():
        note(f"{kind}: {path}")
    if blob := batch.get("output_blob"):
        note(f"output: {blob}")
    if not clean:
        left = now.total - now.done
        unanswered = f"{left:,} requests never ran, " if left > 0 else ""
        where = f"see {saved['errors']}" if "errors" in saved else "their reasons are in the error file"
        if batch.get("error_blob"):
            where, again = f"see {batch['error_blob']}", None
        retry = "" if again is None else f". To try them again: {again.command('batches', 'retry', str(batch['id']))}"
        note(f"{unanswered}{now.failed:,} requests failed; {where}{retry}")
    return 0 if clean else WENT_WRONG
