"""What every handler needs, and the few things that all of them do: find the dialect, read a bounded JSON body."""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import ClientDisconnect, Request

from slackwater.api.dialects import Dialect
from slackwater.core.deployment import Deployment
from slackwater.core.errors import InvalidRequest, PayloadTooLarge
from slackwater.pipeline.admission import Admission
from slackwater.pipeline.intake import Intake
from slackwater.ports import BlobStore, Clock, Ledger

JSON_BYTES_MAX = 1 << 20


class ApiSettings(Struct, frozen=True, kw_only=True):
    """What the operator chose."""

    upload_bytes_max: int = 200 << 20
    api_keys: tuple[str, ...] = ()
    lenient_api_version: bool = False


class Context(Struct, frozen=True, kw_only=True):
    """The doors that handlers may use."""

    ledger: Ledger
    blobs: BlobStore
    clock: Clock
    intake: Intake
    admission: Admission
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


async def read_json(request: Request) -> dict[str, Any]:
    """The body as a JSON object. Raises InvalidRequest and PayloadTooLarge."""
    data = bytearray()
    try:
        async for piece in request.stream():
            data += piece
            if len(data) > JSON_BYTES_MAX:
                raise PayloadTooLarge(f"The body is larger than {JSON_BYTES_MAX:,} bytes.")
    except ClientDisconnect as error:
        raise InvalidRequest("The request was broken off.") from error
    try:
        body = msgspec.json.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}") from error
    if not isinstance(body, dict):
        raise InvalidRequest("The body must be a JSON object.")
    return body


def name_of_type(value: object) -> str:
    """A JSON type as error messages call it."""
    names = {
        str: "a string",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        list: "an array",
        dict: "an object",
    }
    return "null" if value is None else names.get(type(value), "something else")


def required_text(body: dict[str, Any], name: str) -> str:
    """A string that must be there."""
    value = body.get(name)
    if value is None:
        raise InvalidRequest(f"Missing required parameter: '{name}'.", code="missing_required_parameter", param=name)
    if not isinstance(value, str):
        raise InvalidRequest(
            f"Invalid type for '{name}': expected a string, but got {name_of_type(value)} instead.",
            code="invalid_type",
            param=name,
        )
    return value


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
