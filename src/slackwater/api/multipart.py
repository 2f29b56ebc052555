"""Reads a multipart upload as it comes: the file's bytes go on at once, small fields are kept, and everything has a bound.

Clients put the parts in either order (spec 2.1), so what the upload is for may be known only at its end.
"""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from email.errors import MessageError
from email.header import decode_header
from email.message import Message
from email.utils import collapse_rfc2231_value
from typing import TYPE_CHECKING, Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from slackwater.api.bodies import announced
from slackwater.core.errors import InvalidRequest

if TYPE_CHECKING:
    # A name for type checkers only.
    from python_multipart.multipart import MultipartCallbacks

ENCODED_WORDS = re.compile(r"=\?[\w.*-]+\?[BbQq]\?[^?\s]*\?=(\s+=\?[\w.*-]+\?[BbQq]\?[^?\s]*\?=)*", re.ASCII)
FIELD_BYTES_MAX = 64 << 10
FIELDS_MAX = 32
HEADER_BYTES_MAX = 16 << 10
# What may be around a file in the body that brings it.
AROUND_BYTES_MAX = (FIELDS_MAX + 1) * (FIELD_BYTES_MAX + HEADER_BYTES_MAX)


class Form:
    """What was read: the fields, and the name of the file if there was one."""

    def __init__(self) -> None:
        self.fields: dict[str, str] = {}
        self.filename: str | None = None


class _Part:
    """The part that is being read."""

    def __init__(self) -> None:
        self.headers: list[tuple[str, str]] = []
        self.header_bytes = 0
        self.name = ""
        self.filename: str | None = None
        self.data: list[bytes] = []
        self.size = 0


class _Reader:
    """Callbacks of the parser. File data is collected for the caller to write, because callbacks cannot wait."""

    def __init__(self, file_field: str) -> None:
        self.form = Form()
        self.file_data: list[bytes] = []
        self.ended = False
        self._file_field = file_field
        self._part = _Part()
        self._parts = 0
        self._header_name = b""
        self._header_value = b""

    def callbacks(self) -> "MultipartCallbacks":
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._field,
            "on_header_value": self._value,
            "on_header_end": self._header,
            "on_headers_finished": self._headers,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._parts += 1
        # The fields and one file. Parts are counted, not names: each costs far more time than its bytes.
        if self._parts > FIELDS_MAX + 1:
            raise InvalidRequest(f"There are more than {FIELDS_MAX} fields in this upload.")
        self._part = _Part()

    def _field(self, data: bytes, start: int, end: int) -> None:
        self._header_name += data[start:end]
        self._bounded(end - start)

    def _value(self, data: bytes, start: int, end: int) -> None:
        self._header_value += data[start:end]
        self._bounded(end - start)

    def _bounded(self, size: int) -> None:
        self._part.header_bytes += size
        if self._part.header_bytes > HEADER_BYTES_MAX:
            raise InvalidRequest("A part of the multipart body has too many headers.")

    def _header(self) -> None:
        self._part.headers.append(
            (self._header_name.decode("latin-1").lower(), self._header_value.decode("utf-8", "replace"))
        )
        self._header_name = self._header_value = b""

    def _headers(self) -> None:
        part = self._part
        disposition = dict(part.headers).get("content-disposition", "")
        message = Message()
        message["content-disposition"] = disposition
        try:
            # The standard library reads quoted, unquoted and RFC 5987 names alike; what it cannot read, it stumbles over.
            part.name = _text(message.get_param("name", "", "content-disposition"))
            part.filename = _filename(message)
        except (ValueError, TypeError, LookupError, MessageError) as error:
            raise InvalidRequest(
                "The name in a part's Content-Disposition cannot be read; send it as UTF-8."
            ) from error
        if part.name == self._file_field:
            if self.form.filename is not None:
                raise InvalidRequest("There are two files in this upload; send one at a time.", param=part.name)
            self.form.filename = part.filename or "file"

    def _data(self, data: bytes, start: int, end: int) -> None:
        part = self._part
        if part.name == self._file_field:
            self.file_data.append(data[start:end])
            return
        part.size += end - start
        if part.size > FIELD_BYTES_MAX:
            raise InvalidRequest(f"The field '{part.name[:60]}' is larger than {FIELD_BYTES_MAX:,} bytes.")
        part.data.append(data[start:end])

    def _end(self) -> None:
        part = self._part
        if part.name != self._file_field:
            self.form.fields[part.name] = b"".join(part.data).decode("utf-8", "replace")

    def _finish(self) -> None:
        self.ended = True


def _filename(message: Message) -> str | None:
    """The name of the file: `filename*` where there is one, whatever stands beside it (RFC 6266, section 4.3).

    .NET writes an encoded word of RFC 2047 into `filename`; where that is all there is, it is read.
    """
    # Its types know of texts only; what was encoded is three of them.
    given: list[Any] = [value for name, value in message.get_params([], "content-disposition") if name == "filename"]
    if not given:
        return None
    name = collapse_rfc2231_value(next((value for value in given if isinstance(value, tuple)), given[0])).strip()
    if ENCODED_WORDS.fullmatch(name):
        name = "".join(
            word if isinstance(word, str) else word.decode(charset or "ascii") for word, charset in decode_header(name)
        )
    return name


def _text(value: object) -> str:
    """A header parameter: a string, or (charset, language, text) where it was encoded."""
    if isinstance(value, tuple):
        return str(value[2])
    return str(value)


async def read_form(
    request: Request, *, file_field: str, check: Callable[[int], None], write: Callable[[bytes], Awaitable[None]]
) -> Form:
    """Reads the body to its end, passing the file's bytes to `write`. Raises InvalidRequest for what is not multipart.

    `check` refuses a file of so many bytes; it is asked before anything is read, where the head says how much comes.
    """
    check(max(0, announced(request) - AROUND_BYTES_MAX))
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data" or not options.get(b"boundary"):
        raise InvalidRequest(f"Send the bytes as multipart/form-data, in the field '{file_field}'.", param=file_field)
    reader = _Reader(file_field)
    try:
        parser = MultipartParser(options[b"boundary"], reader.callbacks())
        async for data in _body(request):
            parser.write(data)
            for piece in reader.file_data:
                await write(piece)
            reader.file_data.clear()
        parser.finalize()
    except FormParserError as error:
        raise InvalidRequest(f"The multipart body is malformed: {error}.") from error
    if not reader.ended:
        raise InvalidRequest("The upload ended before its last boundary; send it again.", param=file_field)
    return reader.form


async def _body(request: Request) -> AsyncIterator[bytes]:
    try:
        async for data in request.stream():
            if data:
                yield data
    except ClientDisconnect as error:
        raise InvalidRequest("The upload was broken off.", param="file") from error
