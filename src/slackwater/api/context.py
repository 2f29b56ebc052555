"""What every handler needs, and the few things that all of them do: find the context and the dialect, read the query."""

from collections.abc import Callable, Mapping, Sequence

from msgspec import Struct
from starlette.requests import Request

from slackwater.api.auth import Authenticator
from slackwater.api.dialects import Dialect
from slackwater.api.metrics import Monitored
from slackwater.api.studio_door import StudioDoor
from slackwater.core.accounts.resource import Principal
from slackwater.core.errors import InvalidRequest
from slackwater.core.files.retention import Retention
from slackwater.core.sending.deployment import Deployment
from slackwater.pipeline.accounts.connections import Connections
from slackwater.pipeline.accounts.control_plane import ControlPlane
from slackwater.pipeline.accounts.keys import Keys
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.ending.batch_retries import BatchRetries
from slackwater.pipeline.files.importer import Importer
from slackwater.pipeline.files.intake import Intake
from slackwater.pipeline.files.uploads import Uploads
from slackwater.pipeline.input.file_checks import FileChecks
from slackwater.pipeline.sending.pauses import Pauses
from slackwater.pipeline.telling.webhook_endpoints import WebhookEndpoints
from slackwater.pipeline.watching.cluster_watch import ClusterWatch
from slackwater.pipeline.watching.deployment_watch import DeploymentWatch
from slackwater.pipeline.watching.engine_watch import EngineWatch
from slackwater.pipeline.watching.error_groups import ErrorGroups
from slackwater.pipeline.watching.line_finder import LineFinder
from slackwater.pipeline.watching.progress import Progress
from slackwater.pipeline.watching.readiness import Unready
from slackwater.pipeline.watching.result_comparisons import ResultComparisons
from slackwater.pipeline.watching.result_export import ResultExport
from slackwater.pipeline.watching.result_reader import ResultReader
from slackwater.pipeline.watching.result_search import ResultSearch
from slackwater.pipeline.watching.result_tables import ResultTables
from slackwater.ports import BlobStore, Clock, EngineLedger, Ledger, Tracing


class Context(Struct, frozen=True, kw_only=True):
    """The doors that handlers may use. All of them lead into one resource."""

    resource: str
    ledger: Ledger
    blobs: BlobStore
    clock: Clock
    expiry_now: Callable[[], float]
    """By which moment it is judged whether a file has expired; 0 while the clock cannot be believed."""
    intake: Intake
    admission: Admission
    importer: Importer
    uploads: Uploads
    retries: BatchRetries
    keys: Keys
    webhooks: WebhookEndpoints
    deployments: Callable[[], Sequence[Deployment]]
    """Those that take new batches."""
    control_plane: ControlPlane
    connections: Connections
    results: ResultReader
    result_tables: ResultTables
    result_search: ResultSearch
    result_comparisons: ResultComparisons
    result_export: ResultExport
    line_finder: LineFinder
    error_groups: ErrorGroups
    file_checks: FileChecks
    progress: Progress
    watch: DeploymentWatch
    engine_watch: EngineWatch
    cluster_watch: ClusterWatch
    """Who works with the ledger. It belongs to no resource."""
    engine_history: EngineLedger
    """What became of engines. It belongs to no resource."""
    pauses: Pauses
    retention: Retention
    """For how long the operator keeps things."""
    region: str = ""
    """The resource's home, where its files are."""


class Entrance(Struct, frozen=True, kw_only=True):
    """What comes before a handler: who calls, and the doors for a resource."""

    authenticator: Authenticator
    context: Callable[[str], Context]
    clock: Clock
    lenient_api_version: bool = False
    cors_origins: tuple[str, ...] = ()
    """Sites whose pages may call from a browser."""
    gzip_downloads: bool = True
    """Whether content goes out packed to those who take it so."""
    unready: Callable[[], Sequence[Unready]] = tuple
    """Why the service should not be given work at the moment."""
    backend_states: Callable[[], Mapping[str, int]] = dict
    """How many backends are in each state, over all resources."""
    studio: StudioDoor | None = None
    """How people sign in; None where there are no pages for them."""
    metrics: Monitored | None = None
    """Who makes the metrics page; None where it is not on this port."""
    tracing: Tracing | None = None


def entrance_of(request: Request) -> Entrance:
    """The entrance that the application was built with."""
    entrance: Entrance = request.app.state.entrance
    return entrance


def context_of(request: Request) -> Context:
    """The doors of the caller's resource."""
    context: Context = request.state.context
    return context


def principal_of(request: Request) -> Principal:
    """Who calls; the application has found out already."""
    principal: Principal = request.state.principal
    return principal


def dialect_of(request: Request) -> Dialect:
    """The family of the caller; the application has found it already."""
    dialect: Dialect = request.state.dialect
    return dialect


def query_after(request: Request) -> str | None:
    """Where a page begins, in the query. Empty is as if absent: clients write that for what they leave out."""
    return request.query_params.get("after") or None


def query_integer(request: Request, name: str, *, default: int, least: int, most: int) -> int:
    """A number in the query."""
    given = request.query_params.get(name)
    if given is None:
        return default
    try:
        number = int(given)
    except ValueError:
        number = least - 1
    if not least <= number <= most:
        raise InvalidRequest(
            f"Invalid value for '{name}': expected an integer between {least} and {most}, got '{given[:40]}'.",
            param=name,
        )
    return number
