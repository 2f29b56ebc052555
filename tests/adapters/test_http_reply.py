"""What the HTTP client reads out of answers: Retry-After in its forms, and bodies that came compressed."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.http_reply import RETRY_AFTER_MAX_SECONDS, decoded, retry_after_seconds
from slackwater.core.errors import BackendReplyBroken
from slackwater.core.sending.metrics_page import PAGE_BYTES_MAX
from tests.adapters.conftest import Run
from tests.adapters.scripted_server import Peer, ScriptedServer, with_server

NOON = 1_700_000_000.0 - 1_700_000_000 % 86400 + 43200  # 2023-11-14 12:00:00 GMT


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (b"0", 0.0),
        (b"20", 20.0),
        (b" 1.5 ", 1.5),
        (b"999999999999999", RETRY_AFTER_MAX_SECONDS),
        (b"Tue, 14 Nov 2023 12:00:30 GMT", 30.0),
        (b"Tuesday, 14-Nov-23 12:00:30 GMT", 30.0),
        (b"Tue Nov 14 12:00:30 2023", 30.0),
        (b"Tue, 14 Nov 2023 11:00:00 GMT", 0.0),
        (b"Tue, 14 Nov 2033 12:00:00 GMT", RETRY_AFTER_MAX_SECONDS),
        (b"-1", None),
        (b"inf", None),
        (b"nan", None),
        (b"1e3", None),
        (b"1_0", None),
        (b"", None),
        (b"soon", None),
        (b"5, 5", None),
        (b"Tue, 99 Nov 2023 99:99:99 GMT", None),
        (b"T" * 100_000, None),
    ],
)
def test_retry_after(value: bytes, seconds: float | None) -> None:
    """Seconds and HTTP-dates become seconds from 0 to an hour; whatever else is there counts as nothing."""
    assert retry_after_seconds({b"retry-after": value}, now=NOON) == seconds


def test_milliseconds_win_unless_unreadable() -> None:
    """`retry-after-ms` comes before `retry-after`, as in the OpenAI clients; garbage in it leaves the other in force."""
    assert retry_after_seconds({b"retry-after-ms": b"250", b"retry-after": b"9"}, now=NOON) == 0.25
    assert retry_after_seconds({b"retry-after-ms": b"-250", b"retry-after": b"9"}, now=NOON) == 9.0


@given(st.binary(max_size=40) | st.text(max_size=40).map(str.encode), st.binary(max_size=20))
def test_no_retry_after_is_out_of_range(value: bytes, milliseconds: bytes) -> None:
    """Whatever a server writes, the answer is None or from 0 to an hour."""
    seconds = retry_after_seconds({b"retry-after": value, b"retry-after-ms": milliseconds}, now=NOON)
    assert seconds is None or 0.0 <= seconds <= RETRY_AFTER_MAX_SECONDS


def bare_deflate(data: bytes) -> bytes:
    """Deflate without the zlib wrapping, as some servers understand `deflate`."""
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


@pytest.mark.parametrize(
    ("encoding", "body"),
    [
        (b"gzip", gzip.compress(b"tide" * 1000, mtime=0)),
        (b" GZip ", gzip.compress(b"tide" * 1000, mtime=0)),
        (b"deflate", zlib.compress(b"tide" * 1000)),
        (b"deflate", bare_deflate(b"tide" * 1000)),
        (b"identity", b"tide" * 1000),
        (b"", b"tide" * 1000),
    ],
)
def test_encodings_that_are_read(encoding: bytes, body: bytes) -> None:
    """gzip, both kinds of deflate, and identity give the plain body, up to exactly the limit."""
    assert decoded(body, encoding, bytes_max=4000) == b"tide" * 1000


def test_an_empty_body_has_no_encoding() -> None:
    """A 204 may say gzip and have no byte."""
    assert decoded(b"", b"gzip", bytes_max=10) == b""


@pytest.mark.parametrize(
    ("encoding", "body", "text"),
    [
        (b"gzip", gzip.compress(bytes(4001), mtime=0), "larger than 4000 bytes"),
        (b"gzip", gzip.compress(bytes(50_000_000), mtime=0), "larger than 4000 bytes"),
        (b"gzip", gzip.compress(b"tide" * 10, mtime=0)[:-9], "not all of it"),
        (b"gzip", gzip.compress(b"tide", mtime=0) * 2, "not all of it"),
        (b"gzip", b"plain", "not all of it"),
        (b"deflate", b"\xff\xffplain", "not all of it"),
        (b"br", b"anything", "not asked for: 'br'"),
        (b"gzip, gzip", b"anything", "not asked for"),
    ],
)
def test_bodies_that_cannot_be_read(encoding: bytes, body: bytes, text: str) -> None:
    """A bomb, damage, and encodings that we never learnt are a broken answer, and say so."""
    with pytest.raises(BackendReplyBroken, match=text):
        decoded(body, encoding, bytes_max=4000)


@pytest.mark.parametrize("packed", [False, True])
def test_a_metrics_page_that_is_too_large_names_its_own_limit(run: Run[None], packed: bool) -> None:
    """Not that of answers, which an operator would raise for nothing; one of exactly the limit is read."""
    sizes = [PAGE_BYTES_MAX, PAGE_BYTES_MAX + 1]

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            body = bytes(sizes.pop(0))
            if packed:
                await peer.answer(gzip.compress(body, mtime=0), headers="Content-Encoding: gzip\r\n")
            else:
                await peer.answer(body)

    async def test(server: ScriptedServer, backend: HttpBackend) -> None:
        assert len((await backend.metrics()).body) == PAGE_BYTES_MAX
        with pytest.raises(BackendReplyBroken, match=r"page is larger than 4 MiB.*metrics page") as raised:
            await backend.metrics()
        assert "answer_bytes" not in str(raised.value)

    run(with_server(script, test))
