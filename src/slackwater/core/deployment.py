"""A deployment: the name that users put into `model`, and the backends that answer for it."""

from msgspec import Struct


class BackendRef(Struct, frozen=True, kw_only=True):
    """One backend of a deployment, as the pipeline needs to know it: its name and how many requests it may hold at once."""

    name: str
    concurrency: int
    # The name that upstream knows the model by; None sends what the user wrote.
    model: str | None = None


class Deployment(Struct, frozen=True, kw_only=True):
    """A named model that batches may target. The limit is in enqueued tokens; None is no limit."""

    name: str
    model: str
    sku: str = "GlobalBatch"
    backends: tuple[BackendRef, ...]
    enqueued_token_limit: int | None = None
    tokenizer: str = "o200k_base"

    @property
    def slots(self) -> int:
        """How many requests may be in flight over all backends."""
        return sum(backend.concurrency for backend in self.backends)
