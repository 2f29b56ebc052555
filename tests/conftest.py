"""For all tests: generated cases say nothing about time. A busy machine makes any of them slow, and none of them wrong.

What a shell starts in the background, and all that it starts in its turn, does not hear Ctrl-C; those tests that press it
need processes that do.
"""

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.postgresql import Databases, shared

# Where `CI` is set, the same cases come every time: what fails there fails here, too.
settings.register_profile(
    "patient", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=bool(os.environ.get("CI"))
)
settings.load_profile("patient")
# Whoever has a proxy for what is outside has none for what tests talk to, which is all here.
for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
    os.environ.pop(name, None)
    os.environ.pop(name.upper(), None)
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _umask_stays() -> Iterator[None]:
    """A command that is called inside of the test's process may set it for itself; the next test has its own again."""
    before = os.umask(0o022)
    os.umask(before)
    yield
    os.umask(before)


@pytest.fixture(scope="session")
def postgresql(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Databases:
    """Databases of the PostgreSQL of this run, which all of its processes share."""
    ours = tmp_path_factory.getbasetemp()
    run = ours.parent if hasattr(request.config, "workerinput") else ours
    return Databases(shared(run / "postgresql"))
