"""A deployment: the name that users put into `model`, and the backends that answer for it."""

from enum import StrEnum

from msgspec import Struct

from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.endpoints import USUAL
from slackwater.core.sending.sku import DATA_ZONE_BATCH, GLOBAL_BATCH, normalised_sku


class Capabilities(Struct, frozen=True, kw_only=True):
    """What may be asked of a deployment, as far as validation can tell."""

    endpoints: tuple[str, ...] = USUAL
    """Without version, such as `/chat/completions`."""
    images: bool = True
    """Whether the model sees images."""
    sku: str = GLOBAL_BATCH
    """Batches run on batch SKUs only."""


class BackendRef(Struct, frozen=True, kw_only=True):
    """One backend of a deployment, as the pipeline needs to know it: its name and how many requests it may hold at once."""

    name: str
    concurrency: int
    # The name that upstream knows the model by; None sends what the user wrote.
    model: str | None = None
    region: str = ""
    """Where it stands; empty where nobody has said."""
    data_zone: str = ""
    connection: str = ""
    """The connection that leads there; empty where its URL is the deployment's own."""


class WhenFull(StrEnum):
    """What becomes of a batch whose tokens find no room: the vendors refuse it; ours may also wait for its turn."""

    FAIL = "fail"
    QUEUE = "queue"


class Deployment(Struct, frozen=True, kw_only=True):
    """A named model that batches may target. The limit is in enqueued tokens; None is no limit."""

    name: str
    model: str
    resource: str = DEFAULT
    version: str = ""
    """The model's version, for people to read."""
    sku: str = GLOBAL_BATCH
    data_zone: str = ""
    """Where a `DataZoneBatch` deployment may send its requests to."""
    backends: tuple[BackendRef, ...]
    """Those that it may use."""
    enqueued_token_limit: int | None = None
    when_full: WhenFull = WhenFull.FAIL
    tokenizer: str = "o200k_base"
    capabilities: Capabilities = Capabilities()
    dynamic_quota: bool = False
    """Whether more than the limit is let in while the backends are seen to have room for it."""
    rai_policy_name: str | None = None
    version_upgrade_option: str | None = None
    """Shown to whoever asks; models here change when their backends do."""
    made: bool = False
    """Whether it was made over the API, and so may go while the service runs."""
    deleted_at: int | None = None
    """When it was to be deleted: what came later is not let in, and it goes when the last of the others has ended."""

    @property
    def key(self) -> str:
        """What the ledger calls it: two resources may each have a deployment of the same name."""
        return key_of(self.resource, self.name)

    @property
    def slots(self) -> int:
        """How many requests may be in flight over all backends."""
        return sum(backend.concurrency for backend in self.backends)


def key_of(resource: str, name: str) -> str:
    """What the ledger calls a deployment: two resources may each have one of the same name."""
    return name if resource == DEFAULT else f"{resource}/{name}"


def may_use(sku: str, *, data_zone: str, backend_zone: str) -> bool:
    """Whether a deployment may send requests to a backend: data of a zone stays in it, everything else may go anywhere."""
    return normalised_sku(sku) != DATA_ZONE_BATCH or bool(data_zone and backend_zone == data_zone)
