"""A server loses its connection to PostgreSQL now here, now there. `make test-postgresql-kills` does it after every message."""

from pathlib import Path

import pytest

from tests.crash.cut_points import cut_everywhere
from tests.postgresql import with_template

pytestmark = [pytest.mark.postgresql, pytest.mark.timeout(300)]


def test_connections_that_are_cut(tmp_path: Path) -> None:
    """Nothing is lost, nothing is there twice, no call fails, and no stage."""
    with with_template() as postgresql:
        cuts = cut_everywhere(tmp_path, postgresql, step=29)
    assert cuts.cuts >= 10
    assert (cuts.lost, cuts.doubled, cuts.torn, cuts.miscounted) == (0, 0, 0, 0)
    assert " ERROR " not in (tmp_path / "server.log").read_text()
