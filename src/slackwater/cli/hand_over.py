"""The results of a run that has ended, on their way to where the user wants them.

What must hold: repeated after a crash, it finds what is left to do. So nothing here takes away what it would need again.
"""

import asyncio
import os
import shutil
from pathlib import Path

from slackwater.cli.failed_lines import join
from slackwater.cli.input_files import lines_of
from slackwater.cli.run_input import sort_by_input
from slackwater.cli.run_job import OUTPUT_BYTES, Job
from slackwater.core.batch import Batch, Status
from slackwater.wiring import Service


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    mask = os.umask(0)
    os.umask(mask)
    return mask


async def hand_over(service: Service, job: Job, batch: Batch, *, untaken: Path | None = None) -> None:
    """Gives the results their final names. Repeated after a crash, it finds what is left to do.

    `untaken` is where the answers go that standard output has not taken.
    """
    output = await _result(service, job, batch.output_file_id)
    errors = await _result(service, job, batch.error_file_id)
    if batch.status is not Status.COMPLETED:
        return
    before = (batch.metadata or {}).get(OUTPUT_BYTES)
    if job.print is not None:
        if output is not None:
            await (asyncio.to_thread(_copy, output, untaken) if untaken else asyncio.to_thread(_print, job, output))
    elif before is not None:
        await asyncio.to_thread(join, job.output, int(before), output)
    elif output is not None:
        await asyncio.to_thread(_move, output, job.output)
    elif batch.output_file_id is None:
        # Every line failed: an empty output file says so more clearly than none, and is in nobody's way.
        job.output.write_bytes(b"")
    if lines_in(job.left_out):
        await asyncio.to_thread(_join_left_out, errors, job.left_out, job.errors)
    elif errors is not None:
        await asyncio.to_thread(_move, errors, job.errors)
    elif batch.error_file_id is None:
        # One that is there is of an earlier run, which this one replaces or goes on with.
        job.errors.unlink(missing_ok=True)
    if job.in_order:
        for results in (job.errors,) if job.print is not None else (job.output, job.errors):
            if results.exists():
                await asyncio.to_thread(sort_by_input, results, job.input)


def lines_in(path: Path) -> int:
    """How many lines a file has; none, where it is not there."""
    return sum(1 for _ in lines_of(path)) if path.exists() else 0


def _join_left_out(errors: Path | None, left_out: Path, target: Path) -> None:
    """The error lines of what was sent, then those of what was left out. Both stay where they are, so it can be repeated."""
    part = target.with_name(target.name + ".part")
    with part.open("wb") as out:
        for path in (left_out,) if errors is None else (errors, left_out):
            with path.open("rb") as data:
                shutil.copyfileobj(data, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, target)


def _print(job: Job, answers: Path) -> None:
    assert job.print is not None, "somebody wants the answers"
    if job.in_order:
        sort_by_input(answers, job.input)
    elif job.follow is not None:
        # They have been given as they came.
        return
    for line in lines_of(answers):
        job.print(line)


async def _result(service: Service, job: Job, file_id: str | None) -> Path | None:
    """Where a file of the batch lies; None where there is none, or where it has been handed over."""
    if file_id is None:
        return None
    file = await service.ledger.file(file_id)
    assert file is not None, "a terminal batch's files are in the ledger"
    source = job.state / "blobs" / file.blob
    if not source.exists():
        return None
    # Blobs are for us alone; results are the user's, like any file that a command writes.
    source.chmod(0o666 & ~_umask())
    return source


def _move(source: Path, target: Path) -> None:
    try:
        os.replace(source, target)
    except OSError:
        # Another filesystem.
        _copy(source, target)


def _copy(source: Path, target: Path) -> None:
    """Under a temporary name first, so that nobody sees half a file. What is copied stays, so it can be repeated."""
    part = target.with_name(target.name + ".part")
    with source.open("rb") as data, part.open("wb") as out:
        shutil.copyfileobj(data, out)
        out.flush()
        os.fsync(out.fileno())
    os.replace(part, target)
