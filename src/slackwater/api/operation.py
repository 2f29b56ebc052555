"""What an operation is: everything that its route and its page in the API document need to know."""

import re
from collections.abc import Awaitable, Callable
from typing import Any

from msgspec import Struct
from starlette.convertors import Convertor, register_url_convertor
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api.dialects import AZURE, AZURE_V1, OPENAI, Dialect
from slackwater.core.accounts.resource import Role

Handler = Callable[[Request], Awaitable[Response]]
EVERY = (AZURE.name, AZURE_V1.name, OPENAI.name)


class _Name(Convertor[str]):
    """A name that users chose, such as `meta-llama/Llama-3.1-8B`: whatever stands between what is before and behind it.

    `%2F` is a slash by the time that routes see a path, so that both spellings are one.
    """

    regex = "(?s:.+)"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", _Name())
# The parameters in paths that are names. All others are ids, and end at the next slash.
NAMES = re.compile(r"{(name|deployment|model)}")


class Parameter(Struct, frozen=True, kw_only=True):
    """A parameter in the query or in a header."""

    name: str
    description: str
    schema: dict[str, Any]
    place: str = "query"
    style: str | None = None
    """How a value that is an object is written, where it is one (OpenAPI's `style`)."""


def text(name: str, description: str, *, place: str = "query", **schema: Any) -> Parameter:
    """A parameter that is a text; `schema` says more about it."""
    return Parameter(name=name, description=description, schema={"type": "string", **schema}, place=place)


def limit(default: int, most: int) -> Parameter:
    """How long a page may be."""
    schema = {"type": "integer", "minimum": 1, "maximum": most, "default": default}
    return Parameter(name="limit", description="How many at most.", schema=schema)


# From when on, before when, and in which steps a history is wanted.
SPAN = (
    Parameter(
        name="from",
        description="Seconds since 1970; by default three hours before `to`.",
        schema={"type": "integer", "minimum": 0},
    ),
    Parameter(name="to", description="Seconds since 1970; by default now.", schema={"type": "integer", "minimum": 0}),
    Parameter(
        name="step",
        description="Seconds that one entry stands for: whole minutes.",
        schema={"type": "integer", "minimum": 60, "maximum": 86_400, "multipleOf": 60, "default": 60},
    ),
)
AFTER = text("after", "The id of the last one of the page before.")


class Operation(Struct, frozen=True, kw_only=True):
    """One operation. What it answers is a type of api/objects, or a media type where it is no JSON."""

    method: str
    path: str
    handler: Handler
    name: str
    tag: str
    summary: str
    answer: type[Struct] | str
    status: int | None = 200
    """None: that of a new file in the caller's family."""
    body: type[Struct] | None = None
    body_optional: bool = False
    form: dict[str, Any] | None = None
    """The schema of a multipart body."""
    parameters: tuple[Parameter, ...] = ()
    status_also: tuple[int, ...] = ()
    """Others that it may have; without a body where it is 204."""
    answer_also: tuple[str, ...] = ()
    """Media types that the caller may ask for instead."""
    answer_headers: tuple[str, ...] = ()
    errors: tuple[int, ...] = ()
    """Besides 401, and 404 for an api-version that is not known."""
    families: tuple[str, ...] = EVERY
    changes: bool = True
    """False for one that changes nothing although it is no GET."""
    needs: Role | None = None
    """The role that a caller needs; by default a reader may look and a user may act."""
    service: bool = False
    """Whether it is about the service and not a resource, so that only whoever runs that may call."""

    @property
    def role(self) -> Role:
        """The role that a caller needs."""
        return self.needs or (Role.READER if self.method == "GET" else Role.USER)

    @property
    def route(self) -> str:
        """Its path as the router reads it: names may have slashes in them."""
        return NAMES.sub(r"{\1:name}", self.path)

    def served_by(self, dialect: Dialect) -> bool:
        """Whether a family has it."""
        return dialect.name in self.families
