"""Webhooks: endpoints that want to hear how batches end, and the deliveries to them (spec 10). Decides, and sends nothing.

A delivery is written in the transaction that ends its batch, and is tried until the endpoint has taken it or its time is
over. Its id is made of what it is about, so that it is the same in every try and after every crash: receivers know a
repeated one by it.
"""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Literal

import msgspec
from msgspec import Struct

from slackwater.core.batch import Status
from slackwater.core.sending.judgement import RetryPolicy

PREFIX = "whsec_"
SECRET_BYTES = 32
# How long a secret that was changed with notice is still used, beside the new one.
OLD_SECRET_SECONDS = 86_400
# Secrets in use at once: one signature for each goes into a header.
SECRETS_MAX = 4
# From the end of the batch to the last try.
GIVE_UP_SECONDS = 72 * 3_600
RETRY = RetryPolicy(delay_first=5.0, delay_max=6 * 3_600.0)
# An endpoint that fails is left alone: whatever waits for it would fail as well, and would hold up others.
PAUSE = RetryPolicy(delay_first=1.0, delay_max=300.0)
# The status by which a receiver says that it wants nothing any more.
GONE = 410
HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "OpenAI/1.0 (+https://platform.openai.com/docs/webhooks)",
}


class EventType(StrEnum):
    """What there is to hear of."""

    BATCH_COMPLETED = "batch.completed"
    BATCH_FAILED = "batch.failed"
    BATCH_EXPIRED = "batch.expired"
    BATCH_CANCELLED = "batch.cancelled"


TYPE_OF_END: dict[Status, EventType] = {
    Status.COMPLETED: EventType.BATCH_COMPLETED,
    Status.FAILED: EventType.BATCH_FAILED,
    Status.EXPIRED: EventType.BATCH_EXPIRED,
    Status.CANCELLED: EventType.BATCH_CANCELLED,
}


class Secret(Struct, frozen=True, kw_only=True):
    """What deliveries are signed with; `until` is the end of one that was replaced."""

    text: str
    until: int | None = None


class WebhookEndpoint(Struct, frozen=True, kw_only=True):
    """A URL of a user's that hears of some events of a resource. Moments are whole seconds since 1970 in UTC."""

    id: str
    resource: str
    name: str
    url: str
    event_types: tuple[EventType, ...]
    secrets: tuple[Secret, ...]
    """The newest first."""
    created_at: int
    updated_at: int
    disabled_at: int | None = None
    """Since when nothing is sent to it: it answered that it is gone, or was turned off."""
    last_success_at: int | None = None
    last_failure_at: int | None = None
    last_failure: str | None = None
    failures: int = 0
    """Tries that have failed in a row, over all deliveries."""

    @property
    def state(self) -> Literal["active", "failing", "disabled"]:
        """How it is doing, in a word."""
        return "disabled" if self.disabled_at is not None else "failing" if self.failures else "active"

    @property
    def hint(self) -> str:
        """The secret as it may be shown."""
        return f"{PREFIX}...{self.secrets[0].text[-4:]}"


class DeliveryState(StrEnum):
    """Where a delivery is. Every state but the first is an end."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class Delivery(Struct, frozen=True, kw_only=True):
    """One event on its way to one endpoint. `id` is what the receiver sees as `webhook-id`."""

    id: str
    event_id: str
    endpoint_id: str
    type: EventType
    batch_id: str
    created_at: int
    state: DeliveryState = DeliveryState.PENDING
    tries: int = 0
    due_at: float = 0.0
    last_status: int | None = None
    last_failure: str | None = None
    ended_at: int | None = None


class Outcome(Struct, frozen=True, kw_only=True):
    """What one try makes of a delivery and of its endpoint."""

    state: DeliveryState
    tries: int
    at: int
    status: int | None
    failure: str | None
    due_at: float = 0.0
    paused_until: float = 0.0
    """Before that, nothing is sent to the endpoint."""
    gone: bool = False
    """The endpoint is disabled, and with it whatever waits for it is dead."""


def event_id(batch_id: str, kind: EventType) -> str:
    """The id of an event. A batch ends once, so it is the only one of its kind."""
    return f"evt_{_digest(batch_id, kind.value)}"


def delivery_id(event: str, endpoint_id: str) -> str:
    """The id of an event's delivery to an endpoint: the same in every try."""
    return f"wh_{_digest(event, endpoint_id)}"


def _digest(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]


def body_of(delivery: Delivery) -> bytes:
    """What is sent: the same bytes in every try."""
    body: dict[str, Any] = {
        "object": "event",
        "id": delivery.event_id,
        "type": delivery.type.value,
        "created_at": delivery.created_at,
        "data": {"id": delivery.batch_id},
    }
    return msgspec.json.encode(body)


def headers_of(delivery_id: str, body: bytes, secrets: Sequence[Secret], *, now: int) -> dict[str, str]:
    """The headers of one try. The moment is that of the try: receivers refuse one that is too far from theirs."""
    signatures = [
        signature(secret.text, delivery_id=delivery_id, timestamp=now, body=body)
        for secret in secrets
        if secret.until is None or secret.until > now
    ]
    return HEADERS | {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(now),
        "webhook-signature": " ".join(signatures),
    }


def signature(secret: str, *, delivery_id: str, timestamp: int, body: bytes) -> str:
    """The signature of Standard Webhooks (spec 10)."""
    signed = f"{delivery_id}.{timestamp}.".encode() + body
    return "v1," + base64.b64encode(hmac.digest(_key(secret), signed, "sha256")).decode()


def _key(secret: str) -> bytes:
    if not secret.startswith(PREFIX):
        return secret.encode()
    try:
        return base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except binascii.Error as error:
        raise ValueError("a secret that begins with whsec_ goes on in base64") from error


def secret_of(key: bytes) -> str:
    """A key as users see it."""
    return PREFIX + base64.b64encode(key).decode()


def updated(
    endpoint: WebhookEndpoint,
    *,
    name: str | None = None,
    url: str | None = None,
    event_types: tuple[EventType, ...] | None = None,
    enabled: bool = True,
    now: int,
) -> WebhookEndpoint:
    """The endpoint with what is given. Whoever changes it has looked after it, so it is sent to again, and at once.

    Unless that is not `enabled`: then nothing is sent to it, and what happens meanwhile is not announced to it.
    """
    given: dict[str, Any] = {"name": name, "url": url, "event_types": event_types}
    changed = msgspec.structs.replace(endpoint, **{key: value for key, value in given.items() if value is not None})
    moment = endpoint.updated_at if changed == endpoint else now
    if not enabled:
        since = now if endpoint.disabled_at is None else endpoint.disabled_at
        return msgspec.structs.replace(changed, updated_at=moment, disabled_at=since)
    return msgspec.structs.replace(changed, updated_at=moment, disabled_at=None, failures=0)


def rotated(endpoint: WebhookEndpoint, secret: str, *, keep_old: bool, now: int) -> WebhookEndpoint:
    """The endpoint with a new secret. With `keep_old`, what it was signed with so far is used for another day."""
    old: list[Secret] = []
    if keep_old:
        until = now + OLD_SECRET_SECONDS
        old = [
            msgspec.structs.replace(each, until=until if each.until is None else each.until)
            for each in endpoint.secrets
            if each.until is None or each.until > now
        ]
    secrets = (Secret(text=secret), *old[: SECRETS_MAX - 1])
    return msgspec.structs.replace(endpoint, secrets=secrets, updated_at=now)


def judge(
    delivery: Delivery, *, failures: int, status: int | None, failure: str | None, now: float, chance: float
) -> Outcome:
    """What becomes of a delivery after one more try: `status` is what was answered, or `failure` says why nothing was.

    `failures` are those of the endpoint in a row, before this one. The delays double up to six hours, each drawn between
    half and all of its value, and the last try is at the end of 72 hours.
    """
    tries, at = delivery.tries + 1, int(now)
    if status is not None and 200 <= status < 300:
        return Outcome(state=DeliveryState.DELIVERED, tries=tries, at=at, status=status, failure=None)
    if failure is None:
        failure = f"The endpoint answered with status {status}."
    last = delivery.created_at + GIVE_UP_SECONDS
    gone = status == GONE
    return Outcome(
        state=DeliveryState.DEAD if gone or now >= last else DeliveryState.PENDING,
        tries=tries,
        at=at,
        status=status,
        failure=failure,
        due_at=min(last, now + RETRY.delay(tries, chance=chance)),
        paused_until=now + PAUSE.delay(failures + 1, chance=chance),
        gone=gone,
    )
