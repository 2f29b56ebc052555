"""What servers say of their rate limits in the headers of an answer, in all the spellings that are in use.

Pure functions over bytes that a stranger wrote: what cannot be read, or means nothing (-1 at Azure's Responses API, a limit
of 0), is as if it were not there. Names are looked up whole, so an engine that sends none of them costs nothing.

| who | names |
|---|---|
| OpenAI, Azure, Groq, most gateways | `x-ratelimit-{limit,remaining,reset}-{requests,tokens}`; resets: `6m0s`, `12ms`, `55` |
| Azure, in some refusals | `x-rate-limit-reset-{requests,tokens}` |
| Mistral | `x-ratelimit-{limit,remaining}-{req,tokens}-minute` |
| Mistral, before | `x-ratelimitbysize-{limit,remaining}-{minute,day}`, `ratelimitbysize-{limit,remaining,reset}` |
| Anthropic, and gateways to it | `anthropic-ratelimit-{requests,tokens}-{limit,remaining,reset}`; resets are RFC 3339 |
| Fireworks | `x-ratelimit-{limit,remaining}-tokens-prompt`; what is generated has a limit of its own, which is not read |
| Together | `x-ratelimit-{limit,remaining,reset}` of requests, `x-tokenlimit-{limit,remaining}`, per second |
| OpenRouter and others | `x-ratelimit-{limit,remaining,reset}` of requests; resets may be milliseconds since 1970 |
| the IETF's drafts | `ratelimit-{limit,remaining,reset}` of requests; `RateLimit: "name";r=50;t=30` with its `RateLimit-Policy` |
| LiteLLM | any of these behind `llm_provider-`, where it does not say them itself |

Where this comes from, and what is left out: docs/rate-limits.md.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from itertools import product

from msgspec import Struct

MINUTE = 60.0
DAY = 86_400.0
# No limit of anybody's is larger, and no window longer than a month.
AMOUNT_MAX = 1e15
RESET_MAX_SECONDS = 31 * DAY
# A reset as a number beyond this is a moment since 1970, and beyond the other one a moment in milliseconds.
MOMENT_MIN = 1e8
MILLISECONDS_MIN = 1e11
VALUE_BYTES_MAX = 200


class Reading(Struct, frozen=True, gc=False):
    """What one answer says of one limit; None where it does not say."""

    tokens: bool
    """Whether it counts tokens; else requests."""
    period: float | None = None
    """The length of its window in seconds."""
    limit: float | None = None
    remaining: float | None = None
    reset: float | None = None
    """Seconds until it is whole again, from the answer on."""


# What a name stands for: which field, whether of tokens, and the length of the window where the name says it.
_Meaning = tuple[str, bool, float | None]


def _names() -> dict[bytes, _Meaning]:
    names: dict[str, _Meaning] = {}
    windows = {"": None, "-minute": MINUTE, "-day": DAY}
    for field, (what, tokens) in product(
        ("limit", "remaining", "reset"), (("requests", False), ("req", False), ("tokens", True))
    ):
        for ending, period in windows.items():
            names[f"x-ratelimit-{field}-{what}{ending}"] = (field, tokens, period)
        names[f"x-rate-limit-{field}-{what}"] = (field, tokens, None)
        names[f"anthropic-ratelimit-{what}-{field}"] = (field, tokens, None)
    for field in ("limit", "remaining", "reset"):
        names[f"x-ratelimit-{field}"] = names[f"ratelimit-{field}"] = (field, False, None)
        names[f"ratelimitbysize-{field}"] = (field, True, MINUTE)
        for ending, period in windows.items():
            names[f"x-ratelimitbysize-{field}{ending}"] = (field, True, period)
        names[f"x-tokenlimit-{field}"] = (field, True, None)
        names[f"x-ratelimit-{field}-tokens-prompt"] = (field, True, MINUTE)
    return {name.encode(): meaning for name, meaning in names.items()}


_OWN = _names()
_FORWARDED = {b"llm_provider-" + name: meaning for name, meaning in _OWN.items()}
_DRAFT, _DRAFT_POLICY = b"ratelimit", b"ratelimit-policy"
RATE_LIMIT_HEADERS = frozenset({*_OWN, *_FORWARDED, _DRAFT, _DRAFT_POLICY})
"""The names that are read, in small letters."""

_NUMBER = re.compile(r"\d{1,18}(\.\d{1,9})?")
_DURATION = re.compile(
    r"(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m(?!s))?(?:(\d{1,8}(?:\.\d{1,9})?)s)?(?:(\d{1,8}(?:\.\d{1,9})?)ms)?"
)
_ITEM = re.compile(r'"?([^";,]*)"?((?:;[a-z]+=[^;,]+)+)')


def read_rate_limits(headers: Mapping[bytes, bytes], *, now: float) -> tuple[Reading, ...]:
    """Every limit that the headers speak of, names in small letters. `now` is the wall clock in seconds since 1970."""
    found: dict[tuple[bool, float | None], dict[str, float]] = {}
    for names in (_OWN, _FORWARDED):
        for name, value in headers.items():
            meaning = names.get(name)
            if meaning is None:
                continue
            field, tokens, period = meaning
            text = value[:VALUE_BYTES_MAX].decode("latin-1").strip()
            amount = _reset(text, now) if field == "reset" else _amount(text)
            if amount is not None:
                found.setdefault((tokens, period), {})[field] = amount
        if found:
            # What a gateway says itself is about its callers, and what it passes on is about all of them together.
            break
    readings = [
        Reading(tokens, period, fields.get("limit") or None, fields.get("remaining"), fields.get("reset"))
        for (tokens, period), fields in found.items()
        if fields.get("limit", 1.0) > 0
    ]
    if _DRAFT in headers:
        readings += _draft(headers)
    return tuple(reading for reading in readings if reading.limit is not None or reading.remaining is not None)


def _amount(text: str) -> float | None:
    """A number that is not negative, also where a second one or a policy follows a comma (`100, 100;w=60`)."""
    text = text.split(",", 1)[0].split(";", 1)[0].strip()
    if not _NUMBER.fullmatch(text):
        return None
    return amount if (amount := float(text)) <= AMOUNT_MAX else None


def _reset(text: str, now: float) -> float | None:
    """Seconds from now: of a number of seconds, a moment, or a duration such as `1m30.5s`. What is past is None."""
    if _NUMBER.fullmatch(text):
        seconds = float(text)
        if seconds >= MOMENT_MIN:
            seconds = (seconds / 1000 if seconds >= MILLISECONDS_MIN else seconds) - now
    elif (spelt := _DURATION.fullmatch(text)) is not None and text:
        days, hours, minutes, whole, thousandths = (float(part or 0) for part in spelt.groups())
        seconds = days * DAY + hours * 3600 + minutes * 60 + whole + thousandths / 1000
    else:
        try:
            moment = datetime.fromisoformat(text)
            seconds = moment.replace(tzinfo=moment.tzinfo or UTC).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return seconds if 0.0 < seconds <= RESET_MAX_SECONDS else None


def _draft(headers: Mapping[bytes, bytes]) -> list[Reading]:
    """`RateLimit: "name";r=50;t=30` and `RateLimit-Policy: "name";q=100;w=60`, as in the draft of 2025."""
    policies = dict(_items(headers.get(_DRAFT_POLICY, b"")))
    readings = []
    for name, said in _items(headers[_DRAFT]):
        policy = policies.get(name, {})
        unit = policy.get("qu", "requests").strip('"')
        if unit not in ("requests", "tokens"):
            continue
        limit, period = _amount(policy.get("q", "")), _amount(policy.get("w", ""))
        reset = _amount(said.get("t", ""))
        readings.append(
            Reading(unit == "tokens", period or None, limit or None, _amount(said.get("r", "")), reset or None)
        )
    return readings


def _items(value: bytes) -> list[tuple[str, dict[str, str]]]:
    items = []
    for name, parameters in _ITEM.findall(value[:VALUE_BYTES_MAX].decode("latin-1")):
        fields = (pair.split("=", 1) for pair in parameters.split(";") if "=" in pair)
        items.append((name.strip(), dict(fields)))
    return items
