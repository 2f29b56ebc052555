"""The ledger on PostgreSQL keeps every promise that the one on SQLite keeps: the same contracts, and none of them skipped."""

import pytest

from tests.adapters.bringing_contract import BringingContract
from tests.adapters.connection_contract import ConnectionContract
from tests.adapters.deployment_contract import DeploymentContract
from tests.adapters.engine_contract import EngineContract
from tests.adapters.import_contract import ImportContract
from tests.adapters.ledger_contract import LedgerContract
from tests.adapters.list_contract import ListContract
from tests.adapters.member_contract import MemberContract
from tests.adapters.on_postgresql import OnPostgresql
from tests.adapters.order_contract import OrderContract
from tests.adapters.pause_contract import PauseContract
from tests.adapters.sharing_contract import SharingContract
from tests.adapters.studio_contract import StudioContract
from tests.adapters.upload_contract import UploadContract
from tests.adapters.usage_contract import UsageContract
from tests.adapters.webhook_contract import WebhookContract

pytestmark = pytest.mark.postgresql


class TestLedger(OnPostgresql, LedgerContract, PauseContract, EngineContract, SharingContract):
    """Batches, shards and files; pauses; the history of engines."""


class TestBringing(OnPostgresql, BringingContract):
    """Batches whose user keeps their bytes himself."""


class TestConnections(OnPostgresql, ConnectionContract):
    """Engines that were added."""


class TestDeployments(OnPostgresql, DeploymentContract):
    """Deployments made over the API."""


class TestImports(OnPostgresql, ImportContract):
    """Files that are still to be fetched."""


class TestLists(OnPostgresql, ListContract):
    """Pages of batches."""


class TestOrders(OnPostgresql, OrderContract):
    """Quotas and keys of batches."""


class TestStudio(OnPostgresql, StudioContract):
    """What people who watch need."""


class TestUploads(OnPostgresql, UploadContract):
    """Files in parts."""


class TestUsage(OnPostgresql, UsageContract):
    """Accounts and the audit log."""


class TestWebhooks(OnPostgresql, WebhookContract):
    """Endpoints and the outbox."""


class TestMembers(OnPostgresql, MemberContract):
    """Who works with the ledger, and whose duty is what."""
