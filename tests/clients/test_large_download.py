"""200 MB up and down again with openai's Python client: the bytes are the same, and neither side holds them in memory."""

import hashlib
import re
import subprocess
import sys
from pathlib import Path

import openai
import pytest

from tests.clients.conftest import KEY, input_lines
from tests.server import Server

SIZE = 200_000_000
# Room for the interpreter and the client's models, and far from the file.
CLIENT_MEMORY = 150_000_000
SERVER_GROWTH = 64_000_000

# Run in a process of its own, so that its peak of memory is that of the download.
DOWNLOAD = """
import hashlib, resource, sys, openai
client = openai.OpenAI(base_url=sys.argv[1], api_key=sys.argv[2])
digest, size = hashlib.sha256(), 0
with client.files.with_streaming_response.content(sys.argv[3]) as answer:
    for piece in answer.iter_bytes(1 << 20):
        digest.update(piece)
        size += len(piece)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
print(digest.hexdigest(), size, peak)
"""


def peak_of(process: int) -> int:
    """The most memory that a process has had so far, in bytes; 0 where the kernel does not say."""
    status = Path(f"/proc/{process}/status")
    match = re.search(r"^VmHWM:\s+(\d+) kB$", status.read_text(), re.MULTILINE) if status.exists() else None
    return int(match.group(1)) * 1024 if match else 0


@pytest.mark.clients
@pytest.mark.timeout(600)
def test_two_hundred_megabytes(server: Server, tmp_path: Path) -> None:
    """A streamed download of 200 MB is the file that was uploaded, in a fraction of its memory on both sides."""
    piece = input_lines(5_000).encode()
    digest, written = hashlib.sha256(), 0
    with (tmp_path / "large.jsonl").open("wb") as file:
        while written + len(piece) <= SIZE:
            digest.update(piece)
            written += file.write(piece)
    before = peak_of(server.process.pid)
    url = f"http://{server.address}/v1"
    client = openai.OpenAI(base_url=url, api_key=KEY, max_retries=0)
    with (tmp_path / "large.jsonl").open("rb") as file:
        uploaded = client.files.create(file=file, purpose="batch")
    assert uploaded.bytes == written
    ran = subprocess.run(
        [sys.executable, "-c", DOWNLOAD, url, KEY, uploaded.id], capture_output=True, text=True, timeout=300
    )
    assert ran.returncode == 0, ran.stderr
    hexdigest, size, peak = ran.stdout.split()
    assert (hexdigest, int(size)) == (digest.hexdigest(), written)
    print(f"{written} bytes; the client's peak: {int(peak)}; the server's: {before} -> {peak_of(server.process.pid)}")
    assert int(peak) < CLIENT_MEMORY
    assert peak_of(server.process.pid) - before < SERVER_GROWTH
