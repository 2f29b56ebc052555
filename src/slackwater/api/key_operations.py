"""The operations on the keys of a resource, for its administrators."""

from slackwater.api import keys, objects
from slackwater.api.operation import Operation
from slackwater.core.accounts.resource import Role

KEY_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/keys",
        handler=keys.list_keys,
        name="list_keys",
        tag="Administration",
        summary="List the keys of the resource, without their values",
        answer=objects.KeyList,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/keys",
        handler=keys.create,
        name="create_keys",
        tag="Administration",
        summary="Make both keys of a role; those that it had stop working",
        body=objects.NewKeys,
        answer=objects.KeyList,
        errors=(400, 413),
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/keys/{role}/rotate",
        handler=keys.rotate,
        name="rotate_key",
        tag="Administration",
        summary="Make one key of a role anew, while the other goes on working",
        body=objects.RotateKey,
        answer=objects.KeyList,
        errors=(400, 404, 413),
        needs=Role.ADMIN,
    ),
    Operation(
        method="DELETE",
        path="/keys/{role}",
        handler=keys.delete,
        name="delete_keys",
        tag="Administration",
        summary="Take both keys of a role away",
        answer=objects.KeysDeleted,
        errors=(400, 404),
        needs=Role.ADMIN,
    ),
)
