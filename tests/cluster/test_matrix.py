"""The failures of a cluster that take no more than some seconds, twice each (tests/cluster/matrix.py has all, and more often)."""

from pathlib import Path

import pytest

from tests.cluster.matrix import played

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(900)]


def test_nothing_is_lost_or_doubled(tmp_path: Path) -> None:
    """Nor sent again but for what may be, and nobody is taken for dead who is not."""
    kinds = ["worker", "server", "finalizer", "watcher", "restart", "crash"]
    found, seen = played(tmp_path, rounds=2, kinds=kinds, seed=1, tell=False)
    assert [each.n for each in found] == [2] * len(kinds)
    assert (seen.lost, seen.doubled, seen.failed, seen.miscounted) == (0, 0, 0, 0)
    assert seen.lines == 40 * seen.batches > 0
    assert [(each.excess, each.buried, each.faults) for each in found] == [(0, 0, [])] * len(kinds)
