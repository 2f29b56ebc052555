"""The reading of a multipart body, cut anywhere and of any content: the bytes arrive, and what is hostile is told so."""

import asyncio
from collections.abc import Iterator

import pytest
from starlette.requests import Request
from starlette.types import Message

from slackwater.api.multipart import Form, read_form
from slackwater.core.errors import InvalidRequest

PURPOSE = b'--mark\r\nContent-Disposition: form-data; name="purpose"\r\n\r\nbatch\r\n'
FILE = b'--mark\r\nContent-Disposition: form-data; name="file"; filename="x.jsonl"\r\n\r\n'
END = b"\r\n--mark--\r\n"


def read(body: bytes, *, boundary: str = "mark", cut: int = 1 << 16) -> tuple[Form, list[bytes]]:
    """Reads a body that comes in pieces of `cut` bytes; returns the form and the pieces of its file."""
    pieces: list[bytes] = []

    def messages() -> Iterator[Message]:
        for start in range(0, len(body), cut):
            yield {"type": "http.request", "body": body[start : start + cut], "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    async def main() -> Form:
        waiting = messages()
        headers = [(b"content-type", f"multipart/form-data; boundary={boundary}".encode())]

        async def receive() -> Message:
            return next(waiting)

        async def write(data: bytes) -> None:
            pieces.append(data)

        request = Request({"type": "http", "headers": headers}, receive)
        return await read_form(request, file_field="file", check=lambda more: None, write=write)

    return asyncio.run(main()), pieces


@pytest.mark.parametrize("cut", [1, 2, 3, 5, 7, 11, 64, 1 << 16])
def test_a_file_arrives_however_it_is_cut(cut: int) -> None:
    """Every byte of the file comes through once and in order, also those that look like the start of a boundary."""
    data = b"\r\n--mar\r\n--markX\r\r\n--mark-X\r\n-\r\n\r\n--mark\rX\r\n--" * 3 + bytes(range(256)) + b"\r\n--mar"
    form, pieces = read(PURPOSE + FILE + data + END, cut=cut)
    assert b"".join(pieces) == data
    assert (form.filename, form.fields) == ("x.jsonl", {"purpose": "batch"})


@pytest.mark.parametrize(
    "disposition",
    [
        b"form-data; name=file; filename*=undefined''a",
        b"form-data; name=file; filename*=\0hex''41",
        b"form-data; name=file; filename*=punycode''--9999999999utf-16''%00%d8",
        b"form-data; name=file; filename*0*=a; filename*=b",
        b'form-data; name=file; filename="=?utf-8?b?a?="',
        b'form-data; name=file; filename="=?hex?q?a?="',
        b'form-data; name=file; filename="=?utf-8?q?=ff?="',
    ],
)
def test_a_name_that_cannot_be_read_is_refused(disposition: bytes) -> None:
    """A file name in an encoding that nobody has is a fault of the request, not of the service."""
    with pytest.raises(InvalidRequest, match="name"):
        read(b"--mark\r\nContent-Disposition: " + disposition + b"\r\n\r\n{}" + END)


ENCODED = b'filename="=?utf-8?B?5rWL6K+VLmpzb25s?="'
EXTENDED = b"filename*=utf-8''%E6%B5%8B%20%E8%AF%95.jsonl"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        (ENCODED + b"; " + EXTENDED, "测 试.jsonl"),
        (EXTENDED + b"; " + ENCODED, "测 试.jsonl"),
        (b"filename=x.jsonl; " + EXTENDED, "测 试.jsonl"),
        (ENCODED, "测试.jsonl"),
        (b'filename="=?iso-8859-1?q?caf=E9?= =?utf-8?q?_au.jsonl?="', "café au.jsonl"),
        (b'filename="=?.jsonl"', "=?.jsonl"),
        ('filename="测试.jsonl"'.encode(), "测试.jsonl"),
        (b'filename="a\\"b.jsonl"', 'a"b.jsonl'),
    ],
)
def test_the_name_of_a_file(given: bytes, name: str) -> None:
    """`filename*` counts, whatever stands beside it: .NET sends both, the other one as an encoded word (RFC 2047)."""
    form, _ = read(b"--mark\r\nContent-Disposition: form-data; name=file; " + given + b"\r\n\r\n{}" + END)
    assert form.filename == name


def test_a_boundary_that_is_too_long_is_refused() -> None:
    """RFC 2046 ends boundaries at 70 characters; a longer one than the parser takes is told so."""
    with pytest.raises(InvalidRequest, match="oundary"):
        read(b"", boundary="m" * 1000)


@pytest.mark.parametrize("part", [PURPOSE, b"--mark\r\n\r\nx\r\n"])
def test_parts_are_counted_whatever_their_names(part: bytes) -> None:
    """Parts beyond the bound are refused even if all have the same name, or none: each costs more than its bytes."""
    with pytest.raises(InvalidRequest, match="more than"):
        read(part * 40 + FILE + b"{}" + END)
    form, pieces = read(part * 30 + FILE + b"{}" + END)
    assert (len(form.fields), pieces) == (1, [b"{}"])


@pytest.mark.parametrize(
    "body",
    [
        b"--mark\r\n" + b"a: b\r\n" * 100_000,
        b"--mark\r\na: " + b"b" * 1_000_000,
        b"--mark\r\n" + b"a" * 1_000_000,
        b'--mark\r\nContent-Disposition: form-data; name="a"\r\n\r\n' + b"x" * 100_000,
        b"no boundary at all",
    ],
)
def test_what_has_no_end_is_refused(body: bytes) -> None:
    """Headers without end, a field that is larger than any field, and other bytes are refused as they come."""
    with pytest.raises(InvalidRequest):
        read(body)
