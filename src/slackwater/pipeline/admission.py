"""Creates batches and takes requests to cancel them. Before: intake. After: validator.

What can be said at once is said at once: parameters and the input file's existence. The file's content is for the validator.
"""

from collections.abc import Callable, Mapping

from msgspec import Struct

from slackwater.core.batch import TERMINAL, Batch, Policies, Status
from slackwater.core.errors import Conflict, InvalidRequest, NotFound
from slackwater.core.file import FileStatus, Purpose
from slackwater.core.validation import REQUIRED_KEY, normalised
from slackwater.ports import Clock, Ledger
from slackwater.telemetry import event

WINDOW = "24h"
WINDOW_SECONDS = 86_400


class Order(Struct, frozen=True, kw_only=True):
    """What the caller asks for; types are checked, values are not."""

    input_file_id: str
    endpoint: str
    completion_window: str
    metadata: Mapping[str, str] | None = None


class Admission:
    """Lets batches in, and lets them be cancelled."""

    def __init__(self, ledger: Ledger, clock: Clock, *, wake: Callable[[], None]) -> None:
        """`wake` hints that there is something to do."""
        self._ledger = ledger
        self._clock = clock
        self._wake = wake

    async def create(self, order: Order, *, batch_id: str, endpoint: str, policies: Policies) -> Batch:
        """A new batch, `validating`. `endpoint` is how the caller's family writes it back.

        Raises InvalidRequest (window, endpoint, purpose or status of the file) and NotFound (no such file).
        """
        if order.completion_window != WINDOW:
            raise InvalidRequest(
                f"Invalid value: '{order.completion_window[:60]}'. The completion_window must be '{WINDOW}'.",
                param="completion_window",
            )
        if normalised(order.endpoint) not in REQUIRED_KEY:
            raise InvalidRequest(
                f"Invalid value: '{order.endpoint[:60]}'. Supported values are: "
                + ", ".join(f"'/v1{name}'" for name in REQUIRED_KEY)
                + ".",
                param="endpoint",
            )
        now = int(self._clock.now())
        file = await self._ledger.file(order.input_file_id)
        if file is None or (file.expires_at is not None and file.expires_at <= now):
            raise NotFound(
                f"There is no file '{order.input_file_id[:80]}'. Upload it first, with purpose 'batch'.",
                param="input_file_id",
            )
        if file.purpose is not Purpose.BATCH:
            raise InvalidRequest(
                f"The file has the purpose '{file.purpose.value}'; a batch needs one with the purpose 'batch'.",
                param="input_file_id",
            )
        if file.status is not FileStatus.PROCESSED:
            raise InvalidRequest(
                f"The file is '{file.status.value}'; wait until it is 'processed'.", param="input_file_id"
            )
        batch = Batch(
            id=batch_id,
            input_file_id=file.id,
            input_blob=file.blob,
            endpoint=endpoint,
            completion_window=WINDOW,
            status=Status.VALIDATING,
            created_at=now,
            expires_at=now + WINDOW_SECONDS,
            policies=policies,
            metadata=None if order.metadata is None else dict(order.metadata),
        )
        await self._ledger.add_batch(batch)
        event("batch_created", batch=batch.id, file=file.id, endpoint=batch.endpoint)
        self._wake()
        return batch

    async def cancel(self, batch_id: str) -> Batch:
        """The batch, `cancelling` or already `cancelled`. Raises NotFound, and Conflict where it has ended otherwise."""
        batch = await self._ledger.request_cancel(batch_id, now=int(self._clock.now()))
        if batch is None:
            raise NotFound(f"There is no batch '{batch_id[:80]}'.")
        if batch.status in TERMINAL and batch.status is not Status.CANCELLED:
            raise Conflict(f"Cannot cancel a batch with status '{batch.status.value}'.")
        event("batch_cancel_requested", batch=batch.id, status=batch.status.value)
        self._wake()
        return batch
