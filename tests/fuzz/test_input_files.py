"""The short form of the storm of input files; `python -m tests.fuzz.input_files` is the long one."""

from pathlib import Path

from tests.fuzz.hostile_files import hostile_file
from tests.fuzz.input_files import run_pure, run_served

SEED = 7


def test_the_same_number_makes_the_same_file() -> None:
    """A file that was found to do harm can be made again."""
    assert [hostile_file(SEED, number) for number in range(50)] == [hostile_file(SEED, number) for number in range(50)]


def test_the_scan_answers_to_anything(tmp_path: Path) -> None:
    """Whatever a file's bytes: errors or shards, every request in one of them, in order, counted and capped."""
    outcomes, faults = run_pure(tmp_path, seed=SEED, numbers=range(400))
    assert faults == {}
    assert outcomes["accepted"] > 40
    assert len(outcomes) > 6


def test_a_server_answers_to_anything(tmp_path: Path) -> None:
    """Whatever a file's bytes: the batch ends, says what the scan says, and leaves nothing when its files are deleted."""
    outcomes, faults, left = run_served(tmp_path, seed=SEED, numbers=range(40))
    assert (faults, left) == ({}, [])
    assert outcomes["completed"] > 3
    log = (tmp_path / "server.log").read_text()
    assert not [line for line in log.splitlines() if "stage_failed" in line or "scan_failed" in line]
