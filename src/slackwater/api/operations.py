"""Every operation that is served, once: the routes and the API document are both made of this table.

A path here comes after the prefix of a family (api/dialects.py). Parameters in a path are strings.
"""

from slackwater.api.accounts import ACCOUNTS
from slackwater.api.batch_operations import BATCH_OPERATIONS
from slackwater.api.connections import CONNECTION_OPERATIONS
from slackwater.api.deployments import DEPLOYMENT_OPERATIONS
from slackwater.api.engines import ENGINE_OPERATIONS
from slackwater.api.file_operations import FILE_OPERATIONS
from slackwater.api.keys import KEY_OPERATIONS
from slackwater.api.members import MEMBER_OPERATIONS
from slackwater.api.models import MODEL_OPERATIONS
from slackwater.api.operation import Operation
from slackwater.api.pauses import PAUSE_OPERATIONS
from slackwater.api.studio_operations import STUDIO_OPERATIONS
from slackwater.api.webhooks import WEBHOOK_OPERATIONS

OPERATIONS: tuple[Operation, ...] = (
    *FILE_OPERATIONS,
    *BATCH_OPERATIONS,
    *MODEL_OPERATIONS,
    *WEBHOOK_OPERATIONS,
    *DEPLOYMENT_OPERATIONS,
    *CONNECTION_OPERATIONS,
    *ENGINE_OPERATIONS,
    *MEMBER_OPERATIONS,
    *PAUSE_OPERATIONS,
    *KEY_OPERATIONS,
    *ACCOUNTS,
    *STUDIO_OPERATIONS,
)
