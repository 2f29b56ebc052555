"""Every operation that is served, once: the routes and the API document are both made of this table.

A path here comes after the prefix of a family (api/dialects.py). Parameters in a path are strings.
"""

from slackwater.api.account_operations import ACCOUNTS
from slackwater.api.batch_operations import BATCH_OPERATIONS
from slackwater.api.deployment_operations import DEPLOYMENT_OPERATIONS
from slackwater.api.file_operations import FILE_OPERATIONS
from slackwater.api.key_operations import KEY_OPERATIONS
from slackwater.api.model_operations import MODEL_OPERATIONS
from slackwater.api.operation import Operation
from slackwater.api.studio_operations import STUDIO_OPERATIONS
from slackwater.api.webhook_operations import WEBHOOK_OPERATIONS

OPERATIONS: tuple[Operation, ...] = (
    *FILE_OPERATIONS,
    *BATCH_OPERATIONS,
    *MODEL_OPERATIONS,
    *WEBHOOK_OPERATIONS,
    *DEPLOYMENT_OPERATIONS,
    *KEY_OPERATIONS,
    *ACCOUNTS,
    *STUDIO_OPERATIONS,
)
