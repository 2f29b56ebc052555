"""One file through the pipeline without a server: the state beside the output, and how an interrupted run continues.

The state directory `OUTPUT.slackwater` holds the same ledger and journal as a server's data directory. It exists exactly
while the run is not finished: the first thing made, the last thing removed, after the files have their final names.
"""

import asyncio
import os
import shutil
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.cli.input_files import first_url
from slackwater.cli.progress import Progress
from slackwater.config import BackendConfig, Config, DeploymentConfig, WorkerConfig
from slackwater.core.batch import Batch, EmptyFiles, Policies, RequestCounts, Status
from slackwater.core.errors import SlackwaterError, UserError
from slackwater.wiring import Service, open_service

DEPLOYMENT = "run"
BATCH_ID = "batch_run"
INPUT_KEY = "input/requests.jsonl"
ERRORS_MAX = 1000


class Job(Struct, frozen=True, kw_only=True):
    """What the command line asked for."""

    input: Path
    output: Path
    errors: Path
    backend: BackendConfig
    key: str | None
    commit_seconds: float = 0.2
    grace_seconds: float = 20.0
    requests_max: int = 0
    give_up_seconds: float = 300.0
    """How long the endpoint may be shut before the run ends, to be continued later."""

    @property
    def state(self) -> Path:
        """Where the unfinished run lives."""
        return self.output.with_name(self.output.name + ".slackwater")

    def config(self) -> Config:
        """The job as a service sees it: one deployment that takes every model name."""
        backend = msgspec.structs.replace(self.backend, api_key_env="key" if self.key else None)
        return Config(
            deployments=(DeploymentConfig(name=DEPLOYMENT, model=DEPLOYMENT, backends=[backend]),),
            backend_keys={"key": self.key} if self.key else {},
            worker=WorkerConfig(commit_seconds=self.commit_seconds, grace_seconds=self.grace_seconds),
        )


class InputChanged(UserError):
    """The input is not the one that the interrupted run was about."""

    code = "input_modified"


def fingerprint(path: Path) -> dict[str, str]:
    """What tells one input from another without reading it: its size in bytes and when it was written."""
    status = path.stat()
    return {"bytes": str(status.st_size), "modified_ns": str(status.st_mtime_ns)}


class GaveUp(SlackwaterError):
    """Nothing has been answered for as long as the user wants to wait. What was done is kept; the next run goes on."""

    code = "gave_up"


async def run(job: Job, *, show: Callable[[Progress], None], resumed: Callable[[Batch], None]) -> tuple[Batch, bool]:
    """Runs or continues the job until it has ended; returns the batch, and whether the run was interrupted before that.

    Cancelling the task is how a run is interrupted: calls in flight get their grace time, the state stays for the next
    run. `resumed` is called with the batch as an earlier run left it. Raises InputChanged, DataDirectoryError.
    """
    config = job.config()
    config = msgspec.structs.replace(
        config,
        limits=msgspec.structs.replace(
            config.limits, requests_per_file=job.requests_max, embedding_inputs=0, validation_errors=ERRORS_MAX
        ),
    )
    async with open_service(config, job.state, offload=InlineOffload(), counter=None, accept_any=DEPLOYMENT) as service:
        batch = await service.ledger.batch(BATCH_ID)
        if batch is None:
            batch = await _begin(service, job)
        else:
            _same_input(batch, job)
            resumed(batch)
        interrupted = False
        if not batch.terminal:
            await service.start()
            try:
                batch = await _watch(service, show, job.give_up_seconds)
            except asyncio.CancelledError:
                interrupted = True
            finally:
                await service.stop()
            batch = await service.ledger.batch(BATCH_ID) or batch
        if batch.terminal:
            await _hand_over(service, job, batch)
            interrupted = False
    if batch.terminal:
        shutil.rmtree(job.state)
    return batch, interrupted


async def _begin(service: Service, job: Job) -> Batch:
    link = job.state / "blobs" / INPUT_KEY
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    # The input is read where it lies; copying 200 MB first would be the slowest part of a short run.
    link.symlink_to(job.input.resolve())
    now = int(time.time())
    batch = Batch(
        id=BATCH_ID,
        input_file_id="input",
        input_blob=INPUT_KEY,
        endpoint=first_url(job.input),
        completion_window="24h",
        status=Status.VALIDATING,
        created_at=now,
        expires_at=now,
        policies=Policies(validation="openai", empty_files=EmptyFiles.OMIT),
        metadata=fingerprint(job.input) | {"run": uuid.uuid4().hex},
        counts=RequestCounts(),
    )
    await service.ledger.add_batch(batch)
    return batch


def _same_input(batch: Batch, job: Job) -> None:
    known = batch.metadata or {}
    if any(known.get(name) != value for name, value in fingerprint(job.input).items()):
        raise InputChanged(
            f"{job.input} has changed since the run that was interrupted; put it back, "
            f"or remove {job.state} to start over"
        )


async def _watch(service: Service, show: Callable[[Progress], None], give_up_seconds: float) -> Batch:
    """Returns the batch when it has ended. Raises GaveUp where the endpoint has been shut for so long."""
    shut_since: float | None = None
    while True:
        batch = await service.ledger.batch(BATCH_ID)
        assert batch is not None, "the batch of this run is in its ledger"
        counts = batch.counts
        show(
            Progress(
                done=counts.completed + counts.failed,
                total=counts.total,
                failed=counts.failed,
                tokens=batch.usage.input_tokens + batch.usage.output_tokens,
            )
        )
        if batch.terminal:
            return batch
        now, shut = service.clock.monotonic(), service.watch.shut(DEPLOYMENT)
        if shut is None:
            shut_since = None
        elif shut_since is None:
            shut_since = now
        elif now - shut_since >= give_up_seconds:
            raise GaveUp(f"{shut.backend} is {shut.health.value}: {shut.reason}")
        await service.hints.ended.wait(service.clock, 0.2)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


async def _hand_over(service: Service, job: Job, batch: Batch) -> None:
    """Gives the results their final names. Repeated after a crash, it finds what is left to do."""
    for file_id, target in ((batch.output_file_id, job.output), (batch.error_file_id, job.errors)):
        if file_id is None:
            continue
        file = await service.ledger.file(file_id)
        assert file is not None, "a terminal batch's files are in the ledger"
        source = job.state / "blobs" / file.blob
        if not source.exists():
            continue
        # Blobs are for us alone; results are the user's, like any file that a command writes.
        source.chmod(0o666 & ~_umask())
        try:
            os.replace(source, target)
        except OSError:
            # Another filesystem: copy under a temporary name first, so that nobody sees half a file.
            part = target.with_name(target.name + ".part")
            with part.open("wb") as out:
                async for piece in service.blobs.stream(file.blob):
                    out.write(piece)
                out.flush()
                os.fsync(out.fileno())
            os.replace(part, target)
    if batch.status is Status.COMPLETED and batch.output_file_id is None:
        # Every line failed: an empty output file says so more clearly than none.
        job.output.touch()
