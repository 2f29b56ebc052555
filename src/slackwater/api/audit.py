"""Who did what: an entry for every operation that has changed something, and the list of them.

An entry is durable before the caller hears of the success that it is about. It has a transaction of its own, behind that of
the operation: a crash between the two leaves a change without its entry, for a caller who was never told that it worked.
That a batch was created is durable with the next step of that batch, some milliseconds later: until then a power cut (and
no other crash) may take the entry.
"""

import logging

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from slackwater.api import objects, wire
from slackwater.api.context import context_of, principal_of, query_after, query_integer
from slackwater.api.operation import Operation
from slackwater.core.errors import InvalidRequest, SlackwaterError
from slackwater.ports import AuditEntry, AuditSearch

log = logging.getLogger("slackwater")
# Longer than any id of ours; what a caller put into a path may be of any length.
TEXT_MAX = 200
PAGE_MAX = 1_000
# Operations of which the next step follows at once, and makes their entries durable.
SOON_DURABLE = frozenset({"create_batch", "create_batch_of_deployment"})
# The columns of the log that can be searched, and what callers call them.
SEARCHED = {"who": "who", "action": "action", "object": "target"}


class _Answer(Struct):
    """What an answer says of the object that it is about."""

    id: str | None = None
    deleted: bool | None = None


_answer = msgspec.json.Decoder(_Answer)


def note(request: Request, *, target: str, **detail: str) -> None:
    """A handler says what it was about, where neither the path nor the `id` of its answer does."""
    request.state.audit_note = (target, detail)


async def record(request: Request, operation: Operation, response: Response) -> None:
    """Adds an entry where the operation has changed something. Raises where that cannot be kept."""
    if operation.method == "GET" or not operation.changes:
        return
    if response.status_code >= 400 or "idempotent-replayed" in response.headers:
        return
    answer = _read(response)
    if answer.deleted is False:
        return
    path = {name: str(value)[:TEXT_MAX] for name, value in request.path_params.items()}
    noted, detail = getattr(request.state, "audit_note", (None, {}))
    target = noted or answer.id or "/".join(path.values())
    context, principal = context_of(request), principal_of(request)
    entry = AuditEntry(
        at=int(context.clock.now()),
        resource=principal.resource,
        who=principal.name,
        action=operation.name,
        object=target,
        detail={name: value for name, value in path.items() if value != target}
        | detail
        | {"status": response.status_code},
        request_id=request.scope["request_id"],
    )
    try:
        await context.ledger.add_audit(entry, durable=operation.name not in SOON_DURABLE)
    except Exception as error:
        # The change itself is done, so the log has to say what the table cannot.
        log.error("audit_lost %s", wire.encode(entry).decode())
        raise SlackwaterError("the audit log could not be written") from error


def _read(response: Response) -> _Answer:
    try:
        return _answer.decode(response.body)
    except (msgspec.MsgspecError, AttributeError):
        return _Answer()


async def list_entries(request: Request) -> Response:
    """A page of the log of the caller's resource, oldest first unless `order=desc`."""
    context, query = context_of(request), request.query_params
    limit = query_integer(request, "limit", default=100, least=1, most=PAGE_MAX)
    after, order = query_after(request), query.get("order", "asc")
    if after is not None and not (after.isascii() and after.isdigit() and len(after) < 19):
        raise InvalidRequest("'after' must be the id of an entry, or absent.", param="after")
    if order not in ("asc", "desc"):
        raise InvalidRequest(f"Invalid value for 'order': expected 'asc' or 'desc', got '{order[:40]}'.", param="order")
    entries = await context.ledger.audit(
        resource=context.resource,
        after=None if after is None else int(after),
        limit=limit + 1,
        descending=order == "desc",
        search=AuditSearch(**{name: _searched(query.get(given, ""), given) for name, given in SEARCHED.items()}),
    )
    data = [
        objects.AuditEntryObject(
            id=str(entry.seq),
            at=entry.at,
            who=entry.who,
            action=entry.action,
            target=entry.object,
            detail=entry.detail,
            request_id=entry.request_id,
        )
        for entry in entries[:limit]
    ]
    page = objects.AuditPage(data=data, last_id=data[-1].id if data else None, has_more=len(entries) > limit)
    return wire.json_response(page)


def _searched(text: str, name: str) -> str:
    if len(text) > TEXT_MAX:
        raise InvalidRequest(f"'{name}' must have at most {TEXT_MAX} characters.", param=name)
    return text
