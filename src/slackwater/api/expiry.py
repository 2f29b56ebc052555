"""`expires_after` in the encodings that clients send (spec 2.1): two spellings of form fields, and JSON."""

from collections.abc import Mapping
from typing import Any

import msgspec

from slackwater.core.errors import InvalidRequest

LEAST, MOST = 3_600, 2_592_000


def expiry_of_form(fields: Mapping[str, str]) -> int | None:
    """Seconds until a file expires, out of form fields; None if nothing is said."""
    if "expires_after" in fields:
        try:
            return expiry_of_json(msgspec.json.decode(fields["expires_after"]), "expires_after")
        except msgspec.DecodeError as error:
            raise InvalidRequest("expires_after is not valid JSON.", param="expires_after") from error
    for spelling in ("expires_after[{}]", "expires_after.{}"):
        seconds, anchor = fields.get(spelling.format("seconds")), fields.get(spelling.format("anchor"))
        if seconds is not None or anchor is not None:
            given = int(seconds) if seconds is not None and seconds.isdecimal() and len(seconds) < 12 else seconds
            return expiry_of_json({"seconds": given, "anchor": anchor}, "expires_after")
    return None


def expiry_of_json(value: Any, name: str) -> int | None:
    """Seconds until something expires, out of `{"anchor": "created_at", "seconds": N}`; None if nothing is said."""
    if value is None:
        return None
    if not isinstance(value, dict):
        raise InvalidRequest(f"'{name}' must be an object with 'anchor' and 'seconds'.", param=name)
    if value.get("anchor") != "created_at":
        raise InvalidRequest(f"'{name}.anchor' must be 'created_at'.", param=f"{name}.anchor")
    seconds = value.get("seconds")
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not LEAST <= seconds <= MOST:
        raise InvalidRequest(
            f"'{name}.seconds' must be an integer between {LEAST} (an hour) and {MOST} (30 days).",
            param=f"{name}.seconds",
        )
    return seconds
