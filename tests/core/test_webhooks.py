"""What is signed and how, how long a delivery is tried, and where none is sent."""

import json
import time
from pathlib import Path
from typing import Any

import msgspec
import openai
import pytest

from slackwater.core.batch import TERMINAL
from slackwater.core.errors import InvalidRequest, SendFailed
from slackwater.core.outside.destinations import Destinations
from slackwater.core.telling.webhooks import (
    GIVE_UP_SECONDS,
    SECRETS_MAX,
    TYPE_OF_END,
    Delivery,
    DeliveryState,
    EventType,
    Outcome,
    Secret,
    WebhookEndpoint,
    body_of,
    delivery_id,
    event_id,
    headers_of,
    judge,
    rotated,
    secret_of,
    signature,
    updated,
)

VECTOR = json.loads(
    (Path(__file__).parent.parent / "samples" / "webhooks" / "batch_completed_vector.json").read_text("utf-8")
)
NOW = 1_750_287_078
DAY = 86_400


def endpoint(**changes: Any) -> WebhookEndpoint:
    """An endpoint; every field may be changed."""
    values: dict[str, Any] = {
        "id": "whe_1",
        "resource": "default",
        "name": "ours",
        "url": "https://receiver.example/hook",
        "event_types": (EventType.BATCH_COMPLETED,),
        "secrets": (Secret(text=secret_of(bytes(32))),),
        "created_at": NOW,
        "updated_at": NOW,
    }
    return WebhookEndpoint(**values | changes)


def delivery(**changes: Any) -> Delivery:
    """A delivery; every field may be changed."""
    values: dict[str, Any] = {
        "id": "wh_1",
        "event_id": "evt_1",
        "endpoint_id": "whe_1",
        "type": EventType.BATCH_COMPLETED,
        "batch_id": "batch_1",
        "created_at": NOW,
    }
    return Delivery(**values | changes)


def failed(each: Delivery, *, at: float, chance: float = 0.0, **changes: Any) -> Outcome:
    """What a failed try makes of a delivery."""
    values: dict[str, Any] = {"status": 500, "failure": None, "failures": 0}
    return judge(each, now=at, chance=chance, **values | changes)


def test_the_vector() -> None:
    """The signature of the contract's vector, its body and its other headers come out."""
    headers, body = VECTOR["headers"], VECTOR["body_utf8"]
    event = json.loads(body)
    each = delivery(
        event_id=event["id"],
        id=headers["webhook-id"],
        batch_id=event["data"]["id"],
        created_at=event["created_at"],
    )
    assert body_of(each) == body.encode()
    secrets = [Secret(text=VECTOR["secret"])]
    assert headers_of(each.id, body_of(each), secrets, now=int(headers["webhook-timestamp"])) == headers


def test_secrets() -> None:
    """What follows `whsec_` is base64 of the key; any other text is the key itself."""
    plain = signature("plain", delivery_id="wh", timestamp=NOW, body=b"{}")
    encoded = signature(secret_of(b"plain"), delivery_id="wh", timestamp=NOW, body=b"{}")
    assert plain == encoded
    assert secret_of(bytes(range(32))) == VECTOR["secret"]
    with pytest.raises(ValueError, match="base64"):
        signature("whsec_!", delivery_id="wh", timestamp=NOW, body=b"{}")
    assert endpoint().hint == "whsec_...AAA="


@pytest.mark.parametrize("kind", list(EventType))
def test_the_client_unwraps_it(kind: EventType) -> None:
    """OpenAI's client verifies every event, and reads it as the type that it is."""
    client = openai.OpenAI(api_key="any", base_url="http://127.0.0.1:9")
    secret = secret_of(bytes(range(32)))
    # The client compares the moment with its own clock.
    now = int(time.time())
    each = delivery(type=kind, created_at=now)
    body = body_of(each)
    event: Any = client.webhooks.unwrap(body, headers_of(each.id, body, [Secret(text=secret)], now=now), secret=secret)
    assert (event.type, event.data.id, event.created_at, event.id) == (kind.value, "batch_1", now, "evt_1")
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(body + b" ", headers_of(each.id, body, [Secret(text=secret)], now=now), secret=secret)


def test_every_end_is_an_event() -> None:
    """Of every status that a batch ends with, there is something to hear."""
    assert set(TYPE_OF_END) == TERMINAL
    assert set(TYPE_OF_END.values()) == set(EventType)


def test_ids_are_stable() -> None:
    """An id is made of what it is about: the same after a crash, another for another endpoint, event or batch."""
    event = event_id("batch_1", EventType.BATCH_FAILED)
    assert event == event_id("batch_1", EventType.BATCH_FAILED)
    assert len({event, event_id("batch_2", EventType.BATCH_FAILED), event_id("batch_1", EventType.BATCH_EXPIRED)}) == 3
    assert delivery_id(event, "whe_1") == delivery_id(event, "whe_1") != delivery_id(event, "whe_2")


def test_rotation() -> None:
    """Both secrets sign for a day where that was asked for, then only the new one; without asking, it does at once."""
    before = endpoint()
    both = rotated(before, secret_of(b"new" * 8), keep_old=True, now=NOW)
    assert [secret.until for secret in both.secrets] == [None, NOW + DAY]

    def signatures(each: WebhookEndpoint, now: int) -> list[str]:
        return headers_of("wh", b"{}", each.secrets, now=now)["webhook-signature"].split(" ")

    def signed(key: bytes, now: int) -> str:
        return signature(secret_of(key), delivery_id="wh", timestamp=now, body=b"{}")

    soon, later = NOW + DAY - 1, NOW + DAY
    assert signatures(both, soon) == [signed(b"new" * 8, soon), signed(bytes(32), soon)]
    assert signatures(both, later) == [signed(b"new" * 8, later)]
    alone = rotated(both, secret_of(b"third" * 5), keep_old=False, now=NOW)
    assert [secret.text for secret in alone.secrets] == [secret_of(b"third" * 5)]
    many = before
    for number in range(9):
        many = rotated(many, secret_of(bytes([number])), keep_old=True, now=NOW + number)
    assert len(many.secrets) == SECRETS_MAX
    assert many.secrets[0].text == secret_of(bytes([8]))
    assert len(rotated(many, "whsec_", keep_old=True, now=NOW + 2 * DAY).secrets) == 2


def test_update() -> None:
    """Only a change moves `updated_at`; every update lets an endpoint that was given up hear again."""
    given_up = endpoint(disabled_at=NOW, failures=3)
    assert given_up.state == "disabled"
    again = updated(given_up, name="ours", now=NOW + 9)
    assert (again.state, again.updated_at) == ("active", NOW)
    moved = updated(endpoint(failures=1), url="https://other.example/", now=NOW + 9)
    assert (moved.url, moved.updated_at, moved.name) == ("https://other.example/", NOW + 9, "ours")


def test_turned_off() -> None:
    """An endpoint that is turned off stays so until a change does not say so; since when, the first time decides."""
    off = updated(endpoint(failures=3), enabled=False, now=NOW + 1)
    assert (off.state, off.disabled_at, off.updated_at) == ("disabled", NOW + 1, NOW)
    renamed = updated(off, name="ours", enabled=False, now=NOW + 5)
    assert (renamed.state, renamed.disabled_at, renamed.name) == ("disabled", NOW + 1, "ours")
    on = updated(renamed, now=NOW + 9)
    assert (on.state, on.disabled_at, on.failures) == ("active", None, 0)


@pytest.mark.parametrize("status", [200, 202, 204, 299])
def test_taken(status: int) -> None:
    """Any 2xx is a yes."""
    outcome = judge(delivery(tries=2), failures=5, status=status, failure=None, now=NOW + 5.5, chance=0.5)
    assert outcome == Outcome(state=DeliveryState.DELIVERED, tries=3, at=NOW + 5, status=status, failure=None)


@pytest.mark.parametrize("status", [199, 301, 400, 404, 429, 500, 503])
def test_not_taken(status: int) -> None:
    """Any other answer is tried again: a receiver that is being set up says 404 for a while."""
    outcome = failed(delivery(), at=NOW, status=status)
    assert (outcome.state, outcome.failure) == (
        DeliveryState.PENDING,
        f"The endpoint answered with status {status}.",
    )
    assert not outcome.gone


def test_gone() -> None:
    """410 ends the delivery and the endpoint."""
    outcome = failed(delivery(), at=NOW, status=410)
    assert (outcome.state, outcome.gone) == (DeliveryState.DEAD, True)


@pytest.mark.parametrize("chance", [0.0, 0.5, 0.999])
def test_the_schedule(chance: float) -> None:
    """Delays double from seconds to hours; the last try is 72 hours after the event, and then it is dead."""
    each, now, delays = delivery(), float(NOW), []
    while True:
        outcome = failed(each, at=now, chance=chance)
        if outcome.state is DeliveryState.DEAD:
            break
        delays.append(outcome.due_at - now)
        each, now = msgspec.structs.replace(each, tries=outcome.tries), outcome.due_at
    assert now == NOW + GIVE_UP_SECONDS
    assert 2.5 <= delays[0] <= 5
    assert delays[:12] == sorted(delays[:12])
    assert max(delays) <= 6 * 3_600
    assert 20 <= outcome.tries <= 40


def test_a_pause_has_a_bound() -> None:
    """An endpoint that fails again and again is left alone for longer and longer, up to five minutes."""
    pauses = [failed(delivery(), at=NOW, failures=failures).paused_until - NOW for failures in range(40)]
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 150)


def test_a_late_first_try() -> None:
    """A service that was down for a week still tries once."""
    outcome = failed(delivery(), at=NOW + 7 * DAY)
    assert outcome.state is DeliveryState.DEAD
    late = judge(delivery(), failures=0, status=200, failure=None, now=NOW + 7 * DAY, chance=0)
    assert late.state is DeliveryState.DELIVERED


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("http://receiver.example/", r"must begin with https://.*allow_http = true under \[webhooks\]"),
        ("ftp://receiver.example/", "must begin with https://"),
        ("https://me:secret@receiver.example/", "user name"),
        ("https://127.0.0.1/", "loopback address.*allow_private_addresses"),
        ("https://[::1]:8443/", "loopback"),
        ("https://10.1.2.3/", "private"),
        ("https://169.254.169.254/latest", "metadata"),
        ("https://0.0.0.0/", "reserved"),
        ("https:///hook", "no valid host"),
        ("nonsense", "https://"),
    ],
)
def test_urls_that_are_not_sent_to(url: str, words: str) -> None:
    """Said when the endpoint is made, about the right parameter."""
    with pytest.raises(InvalidRequest, match=words) as caught:
        Destinations().locate(url)
    assert caught.value.param == "url"


def test_what_the_operator_may_allow() -> None:
    """Plain http and the house; metadata addresses never."""
    house = Destinations(allow_http=True, allow_private_addresses=True)
    assert house.locate("http://127.0.0.1:8000/hook?token=1").path == "/hook?token=1"
    house.judge_address("receiver", "10.1.2.3")
    with pytest.raises(SendFailed, match="metadata"):
        house.judge_address("receiver", "169.254.169.254")
    with pytest.raises(SendFailed, match="'receiver' leads to a private address"):
        Destinations().judge_address("receiver", "10.1.2.3")
