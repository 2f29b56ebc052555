"""The short form of the fuzz of heads and chunks; `python -m tests.fuzz.heads` is the long one."""

import socket
from pathlib import Path

from tests.fuzz.api import server_for_fuzzing
from tests.fuzz.heads import STATUS, Maker, fuzz


def test_heads_and_chunks_of_any_shape() -> None:
    """Nothing raises, nothing is a 5xx, nothing is kept, and what is let in is what another parser reads there, too."""
    outcome, _ = fuzz(count=3000, seed=1)
    assert not outcome.faults, outcome.faults
    assert {200, 400, 414, 431} <= outcome.answers.keys()
    assert outcome.alike > 500


def test_the_service_behind_it(tmp_path: Path) -> None:
    """Whatever is let in, the application has an answer that is no 5xx."""
    maker = Maker(seed=2)
    with server_for_fuzzing(tmp_path) as server:
        host, _, port = server.address.rpartition(":")
        for _ in range(200):
            data, _ = maker.stream()
            said = bytearray()
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                try:
                    connection.sendall(data)
                    connection.shutdown(socket.SHUT_WR)
                    while piece := connection.recv(1 << 16):
                        said += piece
                except OSError:
                    # It has closed, and not waited for the rest.
                    pass
            assert not [status for status in STATUS.findall(said) if status >= b"500"], data
