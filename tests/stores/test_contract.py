"""The contract of a blob store, on S3 and on Azure."""

from pathlib import Path

import pytest

from slackwater.adapters.object_store.blobs import ObjectBlobs
from slackwater.ports import BlobStore
from tests.adapters.blob_contract import BlobContract
from tests.stores.servers import Server

pytestmark = pytest.mark.stores


class TestS3(BlobContract):
    """The contract, as moto understands S3."""

    @pytest.fixture(autouse=True)
    def _server(self, moto: Server) -> None:
        self.server = moto

    def make_store(self, scratch: Path) -> BlobStore:
        return ObjectBlobs(self.server.place("box"))


class TestAzure(BlobContract):
    """The contract, as Azurite understands Azure."""

    @pytest.fixture(autouse=True)
    def _server(self, azurite: Server) -> None:
        self.server = azurite

    def make_store(self, scratch: Path) -> BlobStore:
        return ObjectBlobs(self.server.place("box"))
