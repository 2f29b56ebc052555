"""What a scan of a stored file gives: shards that hold each request once, tokens that add up, or errors and no shards."""

import io
import json
import multiprocessing
import pickle
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from zlib_ng.zlib_ng import crc32

from slackwater.adapters.disk.blobs import DiskBlobs
from slackwater.adapters.work.tiktoken_counter import TiktokenCounter
from slackwater.core.input.line_judge import Rules
from slackwater.core.input.tokens import TokenCounter
from slackwater.core.input.validation import is_blank
from slackwater.core.sending.checksums import lines_of
from slackwater.core.sending.deployment import Capabilities
from slackwater.core.sending.lines import read_input_line
from slackwater.pipeline.input.input_scan import Scan, Scanning, scan_input

RULES = Rules(family="azure", endpoint="/chat/completions", deployments={"model": Capabilities()})


def request_line(name: str, text: str = "Hello") -> bytes:
    """A valid request."""
    body = {"model": "model", "messages": [{"role": "user", "content": text}]}
    return json.dumps({"custom_id": name, "method": "POST", "url": "/chat/completions", "body": body}).encode()


def scan(data: bytes, counter: TokenCounter | None = None, **more: int) -> Scan:
    """Stores a file and scans it."""
    with TemporaryDirectory() as directory:
        (Path(directory) / "input").write_bytes(data)
        return scan_input(DiskBlobs(Path(directory)), "input", RULES, counter, **more)


# No deadlines: that a shared machine is slow is no failure.
@given(
    st.lists(st.one_of(st.none(), st.integers(0, 600)), max_size=30),
    st.sampled_from([b"\n", b"\r\n", b" \n"]),
    st.booleans(),
    st.integers(1, 6),
    st.integers(1, 2000),
)
def test_shards_hold_each_request_once(
    rows: list[int | None], end: bytes, ends: bool, lines_max: int, bytes_max: int
) -> None:
    """Shards are runs of whole lines in file order, within both bounds or one request long, with every request in one."""
    texts = [b" " if size is None else request_line(f"r{at}", "x" * size) for at, size in enumerate(rows)]
    data = end.join(texts) + end * ends
    found = scan(data, shard_lines_max=lines_max, shard_bytes_max=bytes_max)
    requests = [text for text in io.BytesIO(data) if not is_blank(text)]
    if not requests:
        assert [error.code for error in found.errors] == ["empty_file"]
        assert found.shards == []
        return
    assert found.errors == []
    assert found.total == len(requests)
    held: list[bytes] = []
    position = 0
    for shard in found.shards:
        assert shard.offset >= position
        assert is_blank(data[position : shard.offset])
        position = shard.offset + shard.length
        lines = [text for text in io.BytesIO(data[shard.offset : position]) if not is_blank(text)]
        assert len(lines) == shard.lines <= lines_max
        assert shard.length <= bytes_max or shard.lines == 1
        held += lines
    assert held == requests
    assert is_blank(data[position:])
    assert sum(shard.tokens for shard in found.shards) == found.tokens


@given(
    st.lists(st.tuples(st.sampled_from(["right", "wrong", "again", "blank", "long"]), st.integers(1, 40)), max_size=12),
    st.integers(1, 50),
    st.booleans(),
    st.integers(1, 60),
)
def test_lines_may_come_in_any_groups(rows: list[tuple[str, int]], at_once: int, ends: bool, lines_max: int) -> None:
    """What is found is the same whether lines come one by one or many together."""
    lines: list[bytes] = []
    for kind, times in rows:
        for _ in range(times):
            name = "r0" if kind == "again" else f"r{len(lines)}"
            text = {"blank": b"  ", "wrong": b"{}"}.get(kind, request_line(name, "tide " * (4000 * (kind == "long"))))
            lines.append(text + b"\n")
    if lines and not ends:
        lines[-1] = lines[-1].rstrip(b"\n") or b" "

    def found(size: int) -> Scan:
        scanning = Scanning(RULES, lines_max, 100_000)
        for start in range(0, len(lines), size):
            scanning.feed(lines[start : start + size])
        verdict = scanning.finish()
        return scanning.scan(0 if verdict.errors else scanning.sample.by_bytes())

    together, apart = found(at_once), found(1)
    assert together == apart
    assert scan(b"".join(lines), shard_lines_max=lines_max, shard_bytes_max=100_000) == apart


@pytest.mark.parametrize("blanks", [0, 1, 40, 1000])
def test_a_file_of_crumbs_is_read_like_any_other(blanks: int) -> None:
    """Requests between many blank lines, beyond what a reader holds: each has its number and its place."""
    data = b"".join(b"\n" * blanks + request_line(f"r{at}") + b"\n" for at in range(3000)) + b"\n" * 300_000
    found = scan(data)
    assert (found.errors, found.total, found.size, found.checksum) == ([], 3000, len(data), crc32(data))
    assert [
        text for each in found.shards for text in lines_of(data[each.offset : each.offset + each.length])
    ] == lines_of(data)
    wrong = scan(data + b"{}\n").errors[0]
    assert wrong.line == data.count(b"\n") + 1


def test_shards_are_as_full_as_they_may_be() -> None:
    """A shard ends only where the next request would pass a bound."""
    data = b"\n".join(request_line(f"{number:04}") for number in range(2500))
    assert [shard.lines for shard in scan(data).shards] == [1000, 1000, 500]
    size = len(request_line("0000")) + 1
    assert [shard.lines for shard in scan(data, shard_bytes_max=10 * size).shards] == [10] * 250
    assert [shard.lines for shard in scan(data, shard_bytes_max=10 * size - 1).shards[:-1]] == [9] * 277


def test_a_long_line_is_a_shard_of_its_own() -> None:
    """One line over the bound neither takes others with it nor is divided."""
    lines = [request_line("a"), request_line("b", "x" * (2 << 20)), request_line("c")]
    shards = scan(b"\n".join(lines)).shards
    assert [shard.lines for shard in shards] == [1, 1, 1]
    assert [shard.length for shard in shards] == [len(lines[0]) + 1, len(lines[1]) + 1, len(lines[2])]


def test_blank_lines_make_no_shard_long() -> None:
    """Megabytes of blank lines around requests belong to no shard."""
    blank = b"\n" * (3 << 20)
    shards = scan(blank + request_line("a") + b"\n" + blank + request_line("b") + b"\n" + blank).shards
    assert [(shard.lines, shard.length) for shard in shards] == [(1, len(request_line("a")) + 1)] * 2


def test_one_wrong_line_leaves_no_shard() -> None:
    """A file with an error has errors only: nothing of it may run."""
    found = scan(b"\n".join([request_line("a"), b"{", request_line("c")]))
    assert [(error.code, error.line) for error in found.errors] == [("invalid_json_line", 2)]
    assert (found.shards, found.tokens, found.total, found.error_count) == ([], 0, 3, 1)


def test_nesting_leaves_room_for_who_reads_the_line_later() -> None:
    """A line that is nested as deeply as is accepted can be read from further down the stack, where workers stand."""

    def nested(levels: int) -> bytes:
        return request_line("a").replace(
            b'"model": "model"', b'"model": "model", "x": ' + b"[" * levels + b"]" * levels
        )

    # A search by halves: Pythons differ in what they follow.
    accepted, refused = 1, 200_000
    while refused - accepted > 1:
        middle = (accepted + refused) // 2
        if scan(nested(middle)).errors:
            refused = middle
        else:
            accepted = middle

    def read_from_below(levels: int) -> str:
        return partial(read_from_below, levels - 1)() if levels else read_input_line(nested(accepted)).custom_id

    assert accepted > 500
    # A little more, because an interpreter that has warmed up meanwhile may count a level less.
    assert [error.code for error in scan(nested(refused + 10)).errors] == ["invalid_json_line"]
    assert read_from_below(50) == "a"


def test_deployment_endpoint_and_tokens() -> None:
    """A scan says what the batch runs on, and weighs it exactly where the file is small."""
    found = scan(request_line("a", "hello world"), TiktokenCounter("o200k_base"))
    assert (found.deployment, found.endpoint, found.tokens) == ("model", "/chat/completions", 2 + 4)


@pytest.mark.parametrize("family", ["azure", "openai"])
def test_a_scan_travels_between_processes(tmp_path: Path, family: str) -> None:
    """The function, what it is given and what it gives can be sent to another process, and mean the same there."""
    (tmp_path / "input").write_bytes(request_line("a") + b"\n{")
    blobs, counter = DiskBlobs(tmp_path), TiktokenCounter("cl100k_base")
    rules = Rules(family=family, endpoint="/chat/completions", deployments=None)

    here = scan_input(blobs, "input", rules, counter)
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        assert pool.submit(scan_input, blobs, "input", rules, counter).result(timeout=60) == here
    assert pickle.loads(pickle.dumps(here)) == here
