"""One file through the pipeline without a server: the state beside the output, and how an interrupted run continues.

The state directory `OUTPUT.slackwater` holds the same ledger and journal as a server's data directory. It exists exactly
while the run is not finished: the first thing made, the last thing removed, after the files have their final names.
"""

import asyncio
import contextlib
import shutil
import time
import uuid
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.cli.failed_lines import NothingToSend, OtherFiles, copy_failed
from slackwater.cli.hand_over import hand_over, lines_in
from slackwater.cli.output import free_name
from slackwater.cli.patience import Seen, Stop, gives_way, waiting
from slackwater.cli.progress import Progress
from slackwater.cli.run_input import begins_with_mark, copy_valid, copy_whole
from slackwater.cli.run_job import DEPLOYMENT, OUTPUT_BYTES, Job
from slackwater.cli.so_far import Follower, keep_so_far
from slackwater.core.accounts.cost import cost_of
from slackwater.core.batch import Batch, EmptyFiles, Policies, RequestCounts, Status
from slackwater.core.endpoints import EVERY_ENDPOINT
from slackwater.core.errors import UserError
from slackwater.core.input.line_judge import InputLimits, Rules
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.core.sending.request import Outcome
from slackwater.core.sending.spend_guard import SpendGuard
from slackwater.pipeline.watching.error_groups import ErrorGroup, ErrorGroups
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.wiring import Service, open_service

BATCH_ID = "batch_run"
# Where the state of a run has its id, if it is another.
ID_FILE = "run-id"
INPUT_KEY = "input/requests.jsonl"
LOOK_SECONDS = 0.2


class InputChanged(UserError):
    """The input is not the one that the interrupted run was about."""

    code = "input_modified"


class End(Struct, frozen=True, kw_only=True):
    """How a run ended."""

    batch: Batch
    interrupted: bool = False
    stop: Stop | None = None
    """Why it stopped although lines are left."""
    reasons: list[ErrorGroup] = msgspec.field(default_factory=list)
    """What lines failed of, the most frequent first."""
    kept: dict[Outcome, Path] = msgspec.field(default_factory=dict)
    """Where the results so far are, of a run that is to be continued."""
    left_out: int = 0
    """Lines of the input that were wrong, and not sent."""
    untaken: Path | None = None
    """Where all answers are, of a run whose standard output did not take them."""
    fault: str = ""
    """Why it did not."""
    seconds: float = 0.0
    """How long it took, from its start or from where it was continued."""
    amount: int = 0
    """What its answers cost, at the price that was given."""


def fingerprint(path: Path, digest: str | None = None) -> dict[str, str]:
    """What tells one input from another without reading it again: its digest, or its size in bytes and when it was written."""
    if digest is not None:
        return {"sha256": digest}
    status = path.stat()
    return {"bytes": str(status.st_size), "modified_ns": str(status.st_mtime_ns)}


async def run(
    job: Job,
    *,
    show: Callable[[Progress], None],
    resumed: Callable[[Batch], None],
    stopping: Callable[[int], None] = lambda calls: None,
) -> End:
    """Runs or continues the job until it has ended, or until there is a reason to stop.

    Cancelling the task is how a run is interrupted: calls in flight get their grace time, the state stays for the next
    run. `resumed` is called with the batch as an earlier run left it, `stopping` with the number of calls in flight where
    these are waited for. Raises InputChanged, OtherFiles, DataDirectoryError.
    """
    began = time.monotonic()
    batch_id = _batch_id(job)
    follower = None if job.follow is None else Follower(batch_id, job.follow)
    guard = _guard_of(job)
    async with _opened(job, follower, guard) as service:
        batch = await service.ledger.batch(batch_id)
        if batch is None:
            if batch_id != BATCH_ID and not job.retry_failed:
                raise OtherFiles(
                    f"a run with --retry-failed was interrupted before it began; give --retry-failed again, or remove {job.state}"
                )
            _in_nobodys_way(job)
            batch = await _begin(service, job, batch_id)
        else:
            _same_work(batch, job)
            resumed(batch)
        if guard is not None and job.price is not None:
            guard.begin(spent=cost_of(batch.usage, job.price), answered=batch.counts.completed)
        # Nothing more is sent for money that has been spent already.
        stop = job.patience.spent(_seen(service, job, batch, service.clock.monotonic()))
        interrupted = False
        async with _followed(follower):
            if not batch.terminal and stop is None:
                await service.start()
                try:
                    stop = await _watch(service, job, batch_id, show)
                except asyncio.CancelledError:
                    interrupted = True
                finally:
                    if service.in_flight:
                        stopping(service.in_flight)
                    await service.stop()
                batch = await service.ledger.batch(batch_id) or batch
        results = ResultReader(service.ledger, service.blobs)
        _, reasons = await ErrorGroups(results).of(batch)
        amount = 0 if job.price is None else cost_of(batch.usage, job.price)
        if not batch.terminal:
            kept = await keep_so_far(results, batch, job.state)
            return End(batch=batch, interrupted=interrupted, stop=stop, reasons=reasons, kept=kept, amount=amount)
        left_out = lines_in(job.left_out)
        untaken = (
            free_name(job.answers_beside) if job.print is not None and follower is not None and follower.left else None
        )
        await hand_over(service, job, batch, untaken=untaken)
    shutil.rmtree(job.state)
    return End(
        batch=batch,
        reasons=reasons,
        amount=amount,
        left_out=left_out,
        untaken=untaken,
        seconds=time.monotonic() - began,
        fault="" if follower is None else follower.fault,
    )


def _guard_of(job: Job) -> SpendGuard | None:
    """Who holds requests back that would cost more than they may."""
    price, amount_max = job.price, job.patience.amount_max
    if price is None or amount_max is None:
        return None
    return SpendGuard(amount_max, lambda usage: cost_of(usage, price))


@contextlib.asynccontextmanager
async def _opened(job: Job, follower: Follower | None, guard: SpendGuard | None) -> AsyncIterator[Service]:
    async with open_service(
        job.config(),
        job.state,
        offload=InlineOffload(),
        counter=None,
        accept_any=DEPLOYMENT,
        # Somebody is in front of it, and stops it where there is no readable answer: no line has to end for that.
        retry=RetryPolicy(calls_max=job.calls_per_line, stays_unreadable=False),
        guard=guard,
        doors=lambda ledger, blobs: (ledger if follower is None else follower.before(ledger, blobs), blobs),
    ) as service:
        yield service


@contextlib.asynccontextmanager
async def _followed(follower: Follower | None) -> AsyncIterator[None]:
    """The answers are given while the body runs, and what is left of them behind it."""
    if follower is None:
        yield
        return
    task = asyncio.create_task(follower.run())
    try:
        yield
        await follower.catch_up()
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _batch_id(job: Job) -> str:
    """The id that the run has in its ledger, from which those of its results are made.

    Lines that are sent again have others than the answers that they join.
    """
    file = job.state / ID_FILE
    if file.exists():
        return file.read_text()
    if not job.retry_failed or job.state.exists():
        return BATCH_ID
    job.state.mkdir(mode=0o700)
    batch_id = f"{BATCH_ID}_{uuid.uuid4().hex[:12]}"
    part = file.with_suffix(".part")
    part.write_text(batch_id)
    part.replace(file)
    return batch_id


def _in_nobodys_way(job: Job) -> None:
    """Raises OtherFiles where answers lie that a run which has not begun, although its state is there, would replace."""
    if job.retry_failed or job.replaces:
        return
    there = [path for path in (job.output, job.errors) if path.exists() and path.stat().st_size]
    if there:
        raise OtherFiles(
            f"{there[0]} exists, and the run in {job.state} had not begun; give --retry-failed or --overwrite, or another -o"
        )


async def _begin(service: Service, job: Job, batch_id: str) -> Batch:
    file = job.state / "blobs" / INPUT_KEY
    file.parent.mkdir(parents=True, exist_ok=True)
    file.unlink(missing_ok=True)
    facts = fingerprint(job.input, job.digest) | {"run": uuid.uuid4().hex}
    if job.retry_failed:
        try:
            await asyncio.to_thread(_pick_failed, job, file)
        except (OtherFiles, NothingToSend):
            # Nothing has begun that could be continued.
            shutil.rmtree(job.state)
            raise
        facts[OUTPUT_BYTES] = str(job.output.stat().st_size if job.output.exists() else 0)
    else:
        await asyncio.to_thread(_prepare, job, file)
    now = int(time.time())
    batch = Batch(
        id=batch_id,
        input_file_id="input",
        input_blob=INPUT_KEY,
        endpoint=EVERY_ENDPOINT,
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=now,
        expires_at=now,
        policies=Policies(validation=job.family, empty_files=EmptyFiles.OMIT),
        metadata=facts,
        counts=RequestCounts(),
    )
    await service.ledger.add_batch(batch)
    return batch


def _prepare(job: Job, file: Path, source: Path | None = None) -> None:
    """Puts the input where it is read from."""
    source = source or job.input
    if job.skip_invalid:
        limits = InputLimits(lines_max=job.requests_max, embedding_inputs_max=0)
        rules = Rules(family=job.family, endpoint=EVERY_ENDPOINT, deployments=None, **msgspec.structs.asdict(limits))
        copy_valid(source, file, rules, left_out=job.left_out)
    elif source is not job.input or job.digest is not None or begins_with_mark(source):
        copy_whole(source, file)
    else:
        # The input is read where it lies; copying 200 MB first would be the slowest part of a short run.
        file.symlink_to(source.resolve())


def _pick_failed(job: Job, file: Path) -> None:
    picked = file.with_suffix(".picked")
    still_wrong = file.with_suffix(".wrong")
    # What a start that died here has left of it.
    job.left_out.unlink(missing_ok=True)
    copy_failed(job.input, job.errors, picked, answers=job.output, still_wrong=still_wrong)
    _prepare(job, file, picked)
    with job.left_out.open("ab") as out:
        out.write(still_wrong.read_bytes())
    for path in (picked, still_wrong):
        path.unlink()


def _same_work(batch: Batch, job: Job) -> None:
    known = batch.metadata or {}
    if any(known.get(name) != value for name, value in fingerprint(job.input, job.digest).items()):
        raise InputChanged(
            f"{job.name}{', or what is asked of its rows,' if job.table else ''} has changed since the run that was interrupted; "
            f"put it back, or remove {job.state} to start over"
        )
    if job.retry_failed and OUTPUT_BYTES not in known:
        raise OtherFiles(
            f"the run of {job.name} is not finished, so it is not known yet what fails; finish it first, without --retry-failed"
        )


async def _watch(service: Service, job: Job, batch_id: str, show: Callable[[Progress], None]) -> Stop | None:
    """Returns when the batch has ended, or with the reason why the run should stop before that."""
    news, ended = service.clock.monotonic(), -1
    while True:
        batch = await service.ledger.batch(batch_id)
        assert batch is not None, "the batch of this run is in its ledger"
        counts = batch.counts
        done = counts.completed + counts.failed
        if done != ended or batch.status is not Status.IN_PROGRESS:
            news, ended = service.clock.monotonic(), done
        seen = _seen(service, job, batch, news)
        if gives_way(seen):
            # Patience is for endpoints that do not answer. Who waits for others begins anew when its turn comes.
            news = seen.now
            seen = _seen(service, job, batch, news)
        why, again = waiting(seen) if batch.status is Status.IN_PROGRESS else ("", "")
        show(
            Progress(
                done=done,
                total=counts.total,
                failed=counts.failed,
                tokens=seen.tokens,
                waiting=why,
                again=again,
            )
        )
        if batch.terminal:
            return None
        if batch.status is Status.IN_PROGRESS and (stop := job.patience.stop(seen)) is not None:
            return stop
        await service.hints.ended.wait(service.clock, LOOK_SECONDS)


def _seen(service: Service, job: Job, batch: Batch, news: float) -> Seen:
    (dispatcher,) = service.fleet.dispatchers_of(DEPLOYMENT)
    standing, pulse = dispatcher.standing, dispatcher.door.pulse
    counts, usage = batch.counts, batch.usage
    return Seen(
        now=service.clock.monotonic(),
        news=max(news, pulse.last),
        left=counts.total - counts.completed - counts.failed,
        in_flight=service.in_flight,
        state=standing.state,
        reason=standing.reason,
        since=standing.since,
        until=standing.until,
        refused=dispatcher.door.refusals.in_a_row(succeeded=pulse.last),
        readable=pulse.ever,
        answered=counts.completed,
        tokens=usage.input_tokens + usage.output_tokens,
        amount=0 if job.price is None else cost_of(usage, job.price),
    )
