"""What do files in an object store cost beside a folder: 200 MB up and down, a batch, memory?

The store is Azurite on this machine (`make test-stores` installs it), which shares its processors with everybody else here.
Runs with the folder and with the store take turns.
"""

import argparse
import http.client
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tests.crash.rounds import input_lines
from tests.server import Server
from tests.stores.servers import Azurite, Moto, running

MEBIBYTE = 1 << 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--store", choices=["azurite", "moto"], default="azurite")
    arguments = parser.parse_args()
    large = input_lines("large", 1) + b"\n"
    large = (large * (arguments.megabytes * 1_000_000 // len(large) + 1))[: arguments.megabytes * 1_000_000]
    batch = input_lines("batch", arguments.lines)
    rows: dict[str, list[tuple[float, ...]]] = {"folder": [], arguments.store: []}
    with tempfile.TemporaryDirectory(prefix="slackwater-store-") as scratch:
        with running(Azurite if arguments.store == "azurite" else Moto, Path(scratch)) as store:
            for number in range(arguments.rounds):
                for name in rows:
                    folder = Path(scratch, f"{name}{number}")
                    folder.mkdir()
                    files = (
                        ""
                        if name == "folder"
                        else f'[server]\nfiles = "{store.address("box")}"\nfiles_endpoint = "{store.endpoint}"\n'
                        'files_key_env = "FILES_KEY"\n'
                    )
                    rows[name].append(measure(folder, files, store.secret, large, batch))
                    print(name, shown(rows[name][-1]), file=sys.stderr)
    heads = ("upload s", "download s", "batch s", "idle MiB", "peak MiB")
    print(f"{'':<10}" + "".join(f"{head:>12}" for head in heads))
    for name, measured in rows.items():
        print(f"{name:<10}" + "".join(f"{statistics.median(each):>12.2f}" for each in zip(*measured, strict=True)))


def shown(row: tuple[float, ...]) -> str:
    """For whoever waits."""
    return " ".join(f"{each:.2f}" for each in row)


def measure(folder: Path, files: str, key: str, large: bytes, batch: bytes) -> tuple[float, ...]:
    """Seconds for the large file up, and down, and for the batch from its upload to its end; MiB of the server."""
    config = folder / "slackwater.toml"
    config.write_text(
        f'{files}[[deployments]]\nname = "crash"\n[[deployments.backends]]\necho = {{}}\nconcurrency = 64\n'
    )
    server = Server(config, folder / "data", folder / "server.log", {"FILES_KEY": key})
    try:
        small = server.upload("small.jsonl", b"{}\n")
        server.raw("GET", f"/files/{small}/content")
        idle = memory(server, "VmRSS")
        begun = time.perf_counter()
        file_id = server.upload("large.jsonl", large)
        up = time.perf_counter() - begun
        begun = time.perf_counter()
        down_bytes(server, file_id, len(large))
        down = time.perf_counter() - begun
        begun = time.perf_counter()
        batch_id = server.create_batch(server.upload("batch.jsonl", batch))
        while (now := server.batch(batch_id))["status"] not in ("completed", "failed"):
            time.sleep(0.05)
        took = time.perf_counter() - begun
        assert now["request_counts"]["completed"] == batch.count(b"\n") + 1, now
        return up, down, took, idle, memory(server, "VmHWM")
    finally:
        server.terminate()


def down_bytes(server: Server, file_id: str, size: int) -> None:
    """Receives a file and forgets it."""
    connection = http.client.HTTPConnection(server.address, timeout=300)
    connection.request("GET", f"/openai/files/{file_id}/content?api-version=2024-10-21", headers={"api-key": "any"})
    answer = connection.getresponse()
    buffer, came = bytearray(MEBIBYTE), 0
    while count := answer.readinto(buffer):
        came += count
    connection.close()
    assert came == size, (came, size)


def memory(server: Server, field: str) -> float:
    """What the kernel says of the process, in MiB."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split(f"{field}:")[1].split()[0]) / 1024


if __name__ == "__main__":
    main()
