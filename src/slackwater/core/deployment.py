"""A deployment: the name that users put into `model`, and the backends that answer for it."""

from enum import StrEnum

from msgspec import Struct

from slackwater.core.endpoints import REQUIRED_KEY


class Capabilities(Struct, frozen=True, kw_only=True):
    """What may be asked of a deployment, as far as validation can tell."""

    endpoints: tuple[str, ...] = tuple(REQUIRED_KEY)
    """Without version, such as `/chat/completions`."""
    images: bool = True
    """Whether the model sees images."""


class BackendRef(Struct, frozen=True, kw_only=True):
    """One backend of a deployment, as the pipeline needs to know it: its name and how many requests it may hold at once."""

    name: str
    concurrency: int
    # The name that upstream knows the model by; None sends what the user wrote.
    model: str | None = None


class WhenFull(StrEnum):
    """What becomes of a batch whose tokens find no room: the vendors refuse it; ours may also wait for its turn."""

    FAIL = "fail"
    QUEUE = "queue"


class Deployment(Struct, frozen=True, kw_only=True):
    """A named model that batches may target. The limit is in enqueued tokens; None is no limit."""

    name: str
    model: str
    sku: str = "GlobalBatch"
    backends: tuple[BackendRef, ...]
    enqueued_token_limit: int | None = None
    when_full: WhenFull = WhenFull.FAIL
    tokenizer: str = "o200k_base"
    capabilities: Capabilities = Capabilities()

    @property
    def slots(self) -> int:
        """How many requests may be in flight over all backends."""
        return sum(backend.concurrency for backend in self.backends)
