"""Which waiting batches may start now, given the enqueued tokens that a deployment may hold."""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import Struct

from slackwater.core.batch import Batch, BatchError
from slackwater.core.sending.deployment import Deployment, WhenFull


class WaitingBatch(Struct, frozen=True, kw_only=True):
    """A batch that waits for room: as much of it as decides whether there is any."""

    id: str
    enqueued_tokens: int


W = TypeVar("W", Batch, WaitingBatch)


def admit(waiting: Iterable[W], *, limit: int | None, held: int) -> list[W]:
    """First come, first served: a batch that does not fit keeps those behind it waiting, so a big one is never starved."""
    admitted = []
    for batch in waiting:
        if limit is not None and held + batch.enqueued_tokens > limit:
            break
        held += batch.enqueued_tokens
        admitted.append(batch)
    return admitted


def fits(tokens: int, *, limit: int | None, held: int) -> bool:
    """Whether so many more tokens fit beside those that are held."""
    return limit is None or held + tokens <= limit


def was_let_in(batch: Batch, deployment: Deployment) -> bool:
    """Whether there was room for a batch when it was made: whoever was told so is not refused later for want of it.

    Where nothing could be estimated, or create is no promise (OpenAI's family, dynamic quota), nobody has said so. Nor where the
    input came later than the batch.
    """
    known = batch.enqueued_tokens > 0 and batch.storage is None
    return batch.policies.validation == "azure" and known and not deployment.dynamic_quota


def refusal(
    tokens: int,
    *,
    deployment: Deployment,
    held: int,
    family: str,
    limit_now: int | None = None,
    let_in: bool = False,
) -> BatchError | None:
    """The error of a validated batch that may not start: there is no room now, or there never will be.

    A batch that may wait is refused only where it alone weighs more than the deployment may hold, and so is one that was
    `let_in` when it was made, by what it was estimated at. `limit_now` is what that is where dynamic quota allows more than the
    configured limit.
    """
    limit = deployment.enqueued_token_limit
    waits = let_in or deployment.when_full is WhenFull.QUEUE
    if fits(tokens, limit=limit if limit_now is None else limit_now, held=0 if waits else held):
        return None
    assert limit is not None, "what has no limit fits"
    if family == "openai" and tokens <= limit:
        message = (
            f"Enqueued token limit reached for {deployment.name}. Limit: {limit:,} enqueued tokens. Please try again once "
            "some in_progress batches have been completed."
        )
    else:
        message = limit_reached(tokens, limit=limit, deployment=deployment.name)
    return BatchError(code="token_limit_exceeded", message=message)


def limit_reached(tokens: int, *, limit: int | None, deployment: str) -> str:
    """The recorded words of the contract (spec 5.1); of a file that never fits, whatever else ends, by how much."""
    assert limit is not None, "what has no limit is never reached"
    if tokens > limit:
        return (
            f"{_surpassed(limit, deployment)} This file alone has about {shorten(tokens)} tokens, {shorten(tokens - limit)} more "
            "than that: either increase the limit or split the file."
        )
    return f"{_surpassed(limit, deployment)} Please either increase the limit or try again once the current jobs have finished."


def _surpassed(limit: int, deployment: str) -> str:
    return (
        f"The number of enqueued tokens has surpassed the configured limit of {shorten(limit)} for the deployment "
        f"'{deployment}'."
    )


def shorten(count: int) -> str:
    """A count as the contract's messages write it: 30000 is `30K`, 1500000 is `1.5M`."""
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + letter
    return str(count)
