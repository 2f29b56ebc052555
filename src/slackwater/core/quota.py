"""Which waiting batches may start now, given the enqueued tokens that a deployment may hold."""

from collections.abc import Iterable

from slackwater.core.batch import Batch, BatchError


def admit(waiting: Iterable[Batch], *, limit: int | None, held: int) -> list[Batch]:
    """First come, first served: a batch that does not fit keeps those behind it waiting, so a big one is never starved."""
    admitted = []
    for batch in waiting:
        if limit is not None and held + batch.enqueued_tokens > limit:
            break
        held += batch.enqueued_tokens
        admitted.append(batch)
    return admitted


def over_limit(tokens: int, *, limit: int | None, deployment: str) -> BatchError | None:
    """The error of a batch that could never start, because it alone weighs more than the deployment may hold.

    The text is the recorded one of the contract (spec 5.1) with the advice that fits: waiting would not help here.
    """
    if limit is None or tokens <= limit:
        return None
    message = (
        f"The number of enqueued tokens has surpassed the configured limit of {shorten(limit)} for the deployment "
        f"'{deployment}'. This file alone has about {shorten(tokens)} tokens: either increase the limit or split the file."
    )
    return BatchError(code="token_limit_exceeded", message=message)


def shorten(count: int) -> str:
    """A count as the contract's messages write it: 30000 is `30K`, 1500000 is `1.5M`."""
    for size, letter in ((1_000_000_000, "B"), (1_000_000, "M"), (1_000, "K")):
        if count >= size:
            return f"{count / size:.1f}".removesuffix(".0") + letter
    return str(count)
