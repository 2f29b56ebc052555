"""Keys of a resource: make, list, rotate, take away. For administrators; a key itself is in one answer only."""

from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import audit, objects, wire
from slackwater.api.bodies import read_body
from slackwater.api.context import context_of, entrance_of
from slackwater.api.operation import Operation
from slackwater.core.accounts.resource import Role, Slot, StoredKey
from slackwater.core.errors import InvalidRequest, NotFound


async def list_keys(request: Request) -> Response:
    """What there is, without the keys themselves."""
    context = context_of(request)
    await context.keys.learn_now()
    return wire.json_response(objects.KeyList(data=[_shown(key) for key in context.keys.of(context.resource)]))


async def create(request: Request) -> Response:
    """Both keys of a role. Those that it had stop working."""
    context = context_of(request)
    body = await read_body(request, objects.NewKeys)
    role = _role(body.role)
    if role is not Role.ADMIN and entrance_of(request).authenticator.open:
        # The first key closes the service to callers without one, and this one could not make the next.
        raise InvalidRequest(
            "This service has no keys yet. Make an administrator's first (role 'admin'), which can then make others.",
            param="role",
        )
    audit.note(request, target=role.value)
    made = await context.keys.create(context.resource, role)
    return wire.json_response(_answer(context.keys.of(context.resource), role, made))


async def rotate(request: Request) -> Response:
    """One key of a role, new, while the other goes on working."""
    context = context_of(request)
    role = _role(request.path_params["role"])
    body = await read_body(request, objects.RotateKey)
    slot = Slot(body.key)
    audit.note(request, target=role.value, key=slot.value)
    made = await context.keys.rotate(context.resource, role, slot)
    return wire.json_response(_answer(context.keys.of(context.resource), role, {slot: made}))


async def delete(request: Request) -> Response:
    """Takes both keys of a role away."""
    context = context_of(request)
    role = _role(request.path_params["role"])
    if not await context.keys.delete(context.resource, role):
        raise NotFound(f"The role '{role.value}' has no keys.", param="role")
    return wire.json_response(objects.KeysDeleted(role=role.value))


def _role(given: str) -> Role:
    try:
        return Role(given)
    except ValueError as error:
        names = ", ".join(f"'{role.value}'" for role in Role)
        raise InvalidRequest(f"Invalid value: '{given[:60]}'. Supported values are: {names}.", param="role") from error


def _answer(stored: list[StoredKey], role: Role, made: dict[Slot, str]) -> objects.KeyList:
    return objects.KeyList(data=[_shown(key, made.get(key.slot)) for key in stored if key.role is role])


def _shown(key: StoredKey, value: str | None = None) -> objects.KeyObject:
    hint = f"...{key.hint}"
    if value is None:
        return objects.KeyObject(role=key.role.value, name=key.slot.value, hint=hint, created_at=key.created_at)
    return objects.KeyObject(
        role=key.role.value, name=key.slot.value, hint=hint, created_at=key.created_at, value=value
    )


KEY_OPERATIONS: tuple[Operation, ...] = (
    Operation(
        method="GET",
        path="/keys",
        handler=list_keys,
        name="list_keys",
        tag="Administration",
        summary="List the keys of the resource, without their values",
        answer=objects.KeyList,
        needs=Role.ADMIN,
    ),
    Operation(
        method="POST",
        path="/keys",
        handler=create,
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
        handler=rotate,
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
        handler=delete,
        name="delete_keys",
        tag="Administration",
        summary="Take both keys of a role away",
        answer=objects.KeysDeleted,
        errors=(400, 404),
        needs=Role.ADMIN,
    ),
)
