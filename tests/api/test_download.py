"""Downloads: every byte, any range, and what a client may ask about a file without taking it."""

import contextlib
import gzip
import http.client
import json
import time
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.server import Server

# Longer than two pieces of a stream, and not a multiple of one.
LONG = b"".join(b'{"line": %d}\n' % number for number in range(170_000))


@pytest.fixture(scope="module")
def path(server: Server) -> str:
    """Where the content of a long file is."""
    assert 2 << 20 < len(LONG) < 3_000_000
    mark = b"--mark\r\nContent-Disposition: form-data; name="
    body = (
        mark + b'"purpose"\r\n\r\nuser_data\r\n' + mark + b'"file"; filename="x"\r\n\r\n' + LONG + b"\r\n--mark--\r\n"
    )
    status, _, answer = call(server, "POST", "/v1/files", body, {"Content-Type": "multipart/form-data; boundary=mark"})
    assert status == 200, answer
    return f"/v1/files/{json.loads(answer)['id']}/content"


def call(
    server: Server, method: str, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str], bytes]:
    """One request; status, headers with lower-case names, body as it came. Plain, unless the headers ask for another encoding."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    try:
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    finally:
        connection.close()


@pytest.mark.contract("A.18")
def test_every_byte_comes_down(server: Server, path: str) -> None:
    """What went up comes down, with its length announced."""
    status, headers, data = call(server, "GET", path)
    assert (status, headers["content-length"]) == (200, str(len(LONG)))
    assert data == LONG


@pytest.mark.parametrize(("start", "end"), [(0, 0), (5, 2_000_000), (1_048_575, 1_048_577), (2_200_000, len(LONG) - 1)])
def test_any_range_comes_down(server: Server, path: str, start: int, end: int) -> None:
    """A range gives exactly its bytes, wherever it lies among the pieces that are read."""
    status, headers, data = call(server, "GET", path, headers={"Range": f"bytes={start}-{end}"})
    assert (status, headers["content-range"]) == (206, f"bytes {start}-{end}/{len(LONG)}")
    assert data == LONG[start : end + 1]


@pytest.mark.parametrize("given", ["bytes=" + "9" * 5000 + "-", "bytes=-" + "9" * 5000, "bytes=-", "bytes=0-1,5-6"])
def test_a_range_without_sense_is_ignored(server: Server, path: str, given: str) -> None:
    """What is no single range, or has numbers that no file has, gets the whole file."""
    status, _, data = call(server, "GET", path, headers={"Range": given})
    assert (status, len(data)) == (200, len(LONG))


def test_head_tells_the_size(server: Server, path: str) -> None:
    """HEAD answers as GET would, without the bytes, and its connection goes on."""
    connection = http.client.HTTPConnection(server.address, timeout=20)
    for given, status, length in ((None, 200, len(LONG)), ("bytes=1-4", 206, 4), (f"bytes={len(LONG)}-", 416, 0)):
        connection.request("HEAD", path, headers={"Range": given} if given else {})
        answer = connection.getresponse()
        assert (answer.status, int(answer.headers["content-length"]), answer.read()) == (status, length, b"")
    connection.close()


def test_what_one_has_is_not_sent_again(server: Server, path: str) -> None:
    """The content of an id never changes: its etag is answered with 304, plain or packed, and no bytes."""
    _, headers, _ = call(server, "GET", path)
    etag = headers["etag"]
    _, packed, _ = call(server, "GET", path, headers={"Accept-Encoding": "gzip"})
    assert (etag[0], etag[-1], headers["cache-control"]) == ('"', '"', "private, no-cache")
    assert packed["etag"] != etag
    for given in (etag, f"W/{etag}", f'"other", {etag}', "*", packed["etag"]):
        for method in ("GET", "HEAD"):
            status, head, data = call(server, method, path, headers={"If-None-Match": given, "Range": "bytes=0-1"})
            assert (status, data, head["etag"], head["vary"]) == (304, b"", etag, "Accept-Encoding"), given
    assert call(server, "GET", path, headers={"If-None-Match": '"other"'})[::2] == (200, LONG)


def test_only_if_it_is_what_one_has_seen(server: Server, path: str) -> None:
    """`If-Match` with another etag is 412; `If-Range` with another one, or with a moment, gets the whole file."""
    etag = call(server, "HEAD", path)[1]["etag"]
    for given in (etag, "*", f'"other", {etag}'):
        assert call(server, "GET", path, headers={"If-Match": given})[0] == 200
    status, _, data = call(server, "GET", path, headers={"If-Match": '"other"'})
    assert (status, json.loads(data)["error"]["code"]) == (412, "PreconditionFailed")
    some = {"Range": "bytes=5-9"}
    status, head, data = call(server, "GET", path, headers=some | {"If-Range": etag})
    assert (status, data, head["etag"]) == (206, LONG[5:10], etag)
    for given in ('"other"', f"W/{etag}", "Sat, 28 Nov 2026 17:00:00 GMT"):
        assert call(server, "GET", path, headers=some | {"If-Range": given})[::2] == (200, LONG)


@pytest.mark.parametrize("given", ["gzip", "deflate, gzip;q=0.5, br", "GZIP", "x-gzip"])
def test_packed_where_it_is_asked_for(server: Server, path: str, given: str) -> None:
    """The same bytes in gzip, in fewer."""
    status, head, data = call(server, "GET", path, headers={"Accept-Encoding": given})
    assert (status, head["content-encoding"], head["vary"]) == (200, "gzip", "Accept-Encoding")
    assert "content-length" not in head
    assert len(data) < len(LONG) / 3
    assert gzip.decompress(data) == LONG


@pytest.mark.parametrize("given", ["", "identity", "br", "gzip;q=0", "gzip; q=0.000", "notgzip", "gzipped"])
def test_plain_for_everybody_else(server: Server, path: str, given: str) -> None:
    """Who does not take gzip does not get it; nor does who asks for a range or for the size."""
    status, head, data = call(server, "GET", path, headers={"Accept-Encoding": given})
    assert (status, head.get("content-encoding"), data) == (200, None, LONG)
    some = {"Accept-Encoding": "gzip", "Range": "bytes=1-3"}
    status, head, data = call(server, "GET", path, headers=some)
    assert (status, head.get("content-encoding"), data) == (206, None, LONG[1:4])
    status, head, _ = call(server, "HEAD", path, headers={"Accept-Encoding": "gzip"})
    assert (status, head.get("content-encoding"), head["content-length"]) == (200, None, str(len(LONG)))


def test_a_client_that_leaves_takes_nothing_with_it(server: Server, path: str) -> None:
    """A download that is broken off closes its file, and the next one is whole."""
    for number in range(20):
        connection = http.client.HTTPConnection(server.address, timeout=20)
        connection.request("GET", path, headers={"Accept-Encoding": "gzip" if number % 2 else "identity"})
        assert connection.getresponse().read(1000)[:2] in (LONG[:2], b"\x1f\x8b")
        connection.close()
    deadline = time.monotonic() + 20
    while any("/files/file-" in name for name in open_files(server.process.pid)):
        assert time.monotonic() < deadline, "a broken download holds its file"
        assert call(server, "GET", "/healthz")[0] == 200
    assert call(server, "GET", path)[2] == LONG


def open_files(pid: int) -> list[str]:
    """The names of what a process has open; a descriptor that is just being closed has none."""
    names = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):
            names.append(str(link.readlink()))
    return names


def test_the_name_that_it_is_saved_under(server: Server, path: str) -> None:
    """By wish, whatever is in it. One that no file system takes is refused."""
    assert call(server, "GET", path)[1]["content-disposition"].startswith("attachment; filename=x;")
    wished = quote('week "12"\r\nX-Evil: 1.jsonl', safe="")
    headers = call(server, "GET", f"{path}?filename={wished}", headers={"Range": "bytes=0-1"})[1]
    assert headers["content-disposition"].startswith('attachment; filename="week _12___X-Evil: 1.jsonl"; filename*=')
    assert "x-evil" not in headers
    status, _, body = call(server, "GET", f"{path}?filename={'x' * 256}")
    assert (status, json.loads(body)["error"]["param"]) == (400, "filename")
