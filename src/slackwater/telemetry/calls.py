"""What is being worked on right now, for log lines and traces: the API call, or the request in a lane's hands.

Both are context variables, so that nothing has to be handed through every function that lies between.
"""

from contextvars import ContextVar

from msgspec import Struct

# Batches whose create call was traced, so that what is done for them can point back to it. A restart forgets them.
ORIGINS_MAX = 10_000


class Call(Struct):
    """A call of the API, under the name that its caller was given."""

    request_id: str
    traceparent: str | None = None
    """Its span, where the call is traced."""
    over: bool = False
    """Set when the answer is out: tasks that were begun meanwhile live on, and are not part of the call."""

    @property
    def trace_id(self) -> str | None:
        """The trace that the call belongs to."""
        return None if self.traceparent is None else self.traceparent.split("-")[1]


class Work(Struct, frozen=True):
    """A request of a batch that is about to be sent."""

    deployment: str
    batch_id: str
    attempts: int


call_in_hand: ContextVar[Call | None] = ContextVar("call_in_hand", default=None)
work_in_hand: ContextVar[Work | None] = ContextVar("work_in_hand", default=None)
_origins: dict[str, str] = {}


def current_call() -> Call | None:
    """The API call on whose behalf this runs."""
    call = call_in_hand.get()
    return None if call is None or call.over else call


def remember_origin(batch_id: str) -> None:
    """This call has made a batch. Nothing is kept where it is not traced."""
    call = current_call()
    if call is None or call.traceparent is None:
        return
    if len(_origins) >= ORIGINS_MAX:
        del _origins[next(iter(_origins))]
    _origins[batch_id] = call.traceparent


def origin_of(batch_id: str) -> str | None:
    """The span of the call that made a batch, as a `traceparent`; None where nobody traced it."""
    return _origins.get(batch_id)
