"""The two stores, one of each for a run of tests."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stores.servers import Azurite, Moto, Server, running

KINDS = {"s3": Moto, "azure": Azurite}


@pytest.fixture(scope="session")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """S3, as moto has it."""
    with running(Moto, tmp_path_factory.mktemp("moto")) as server:
        yield server


@pytest.fixture(scope="session")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Azure, as Azurite has it."""
    with running(Azurite, tmp_path_factory.mktemp("azurite")) as server:
        yield server


@pytest.fixture(params=["s3", "azure"])
def store(request: pytest.FixtureRequest) -> Server:
    """Each of the two."""
    server: Server = request.getfixturevalue("moto" if request.param == "s3" else "azurite")
    return server


@pytest.fixture(params=["s3", "azure"])
def mortal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """Each of the two, and a test may end it."""
    with running(KINDS[request.param], tmp_path) as server:
        yield server
