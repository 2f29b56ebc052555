"""What every handler needs, and the few things that all of them do: find the context and the dialect, read the query."""

from collections.abc import Callable, Sequence

from msgspec import Struct
from starlette.requests import Request

from slackwater.api.dialects import Dialect
from slackwater.core.deployment import Deployment
from slackwater.core.errors import InvalidRequest
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.importer import Importer
from slackwater.pipeline.intake import Intake
from slackwater.pipeline.retries import Retries
from slackwater.pipeline.uploads import Uploads
from slackwater.ports import BlobStore, Clock, Ledger


class ApiSettings(Struct, frozen=True, kw_only=True):
    """What the operator chose."""

    api_keys: tuple[str, ...] = ()
    lenient_api_version: bool = False


class Context(Struct, frozen=True, kw_only=True):
    """The doors that handlers may use."""

    ledger: Ledger
    blobs: BlobStore
    clock: Clock
    intake: Intake
    admission: Admission
    uploads: Uploads
    importer: Importer
    retries: Retries
    deployments: Callable[[], Sequence[Deployment]]
    settings: ApiSettings


def context_of(request: Request) -> Context:
    """The context that the application was built with."""
    context: Context = request.app.state.context
    return context


def dialect_of(request: Request) -> Dialect:
    """The family of the caller; the application has found it already."""
    dialect: Dialect = request.state.dialect
    return dialect


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
