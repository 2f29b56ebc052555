"""What an answer that is an error says."""

from msgspec import UNSET, Struct, UnsetType


class ErrorDetail(Struct, frozen=True, kw_only=True):
    """What is wrong, in the one shape that both vendors' clients read (spec 7.1)."""

    code: str | None
    """A word for programs; its values are those of the caller's family."""
    message: str
    """A sentence for people that says what to do."""
    type: str | None
    """OpenAI's class of error, such as `invalid_request_error`."""
    param: str | None
    """The parameter that is wrong, where it is one."""


class FilesDetail(Struct, frozen=True, kw_only=True):
    """The message once more, as OpenAI's Files API repeats it beside `error`."""

    message: str
    code: str | None


class ErrorBody(Struct, frozen=True, kw_only=True):
    """The body of every answer that is an error."""

    error: ErrorDetail
    detail: FilesDetail | UnsetType = UNSET


class BareError(Struct, frozen=True, kw_only=True):
    """What is wrong, as Azure's gateway says it."""

    code: str
    message: str


class ResourceNotFound(Struct, frozen=True, kw_only=True):
    """Azure's answer to a path or an api-version that it does not know (spec 1.3)."""

    error: BareError
