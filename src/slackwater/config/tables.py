"""Structs out of tables of settings, with a fault for every wrong field instead of only the first."""

import difflib
import urllib.parse
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from msgspec import Struct

from slackwater.core.accounts.resource import DEFAULT

S = TypeVar("S", bound=Struct)
# What people write where it is not: it holds for a whole server.
ELSEWHERE = {"pace": "[[engines]], with the url of the server", "slices": "[[engines]], with the url of the server"}


def section(raw: object, kind: type[S], where: str, faults: list[str]) -> S | None:
    """One struct out of one table; None where something is wrong with it."""
    if not isinstance(raw, dict):
        faults.append(f"{where}: must be a table of settings")
        return None
    before = len(faults)
    values: dict[str, Any] = {}
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    for name, value in raw.items():
        if name not in fields:
            faults.append(f"{where}: unknown setting '{name}'{suggest(name, fields)}")
            continue
        try:
            values[name] = msgspec.convert(value, fields[name].type)
        except msgspec.ValidationError as error:
            text = str(error).split(" - at")[0]
            faults.append(f"{where}: {name}: {text[0].lower()}{text[1:]}{_quoted(name, value, text)}")
    for name, field in fields.items():
        if field.required and name not in raw:
            faults.append(f"{where}: {name} is missing: {name} = ...")
    return kind(**values) if len(faults) == before else None


def _quoted(name: str, value: object, text: str) -> str:
    """What helps whoever has forgotten the quotes."""
    if not text.startswith("Expected `str") or not isinstance(value, bool | int | float):
        return ""
    written = str(value).lower() if isinstance(value, bool) else value
    return f'; write it in quotes: {name} = "{written}"'


def suggest(name: str, known: Mapping[str, object] | tuple[str, ...]) -> str:
    """What somebody may have meant who wrote a name that there is not."""
    if name in ELSEWHERE and name not in known:
        return f"; it belongs into a section {ELSEWHERE[name]}"
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else f"; known are {', '.join(sorted(known))}"


def names_twice(raw: Mapping[str, Any], sections: str, within: str | None = None) -> list[str]:
    """A fault for each name that sections of one kind have more than once, those with one value of `within` together."""
    tables = raw.get(sections, [])
    entries = [each for each in tables if isinstance(each, dict)] if isinstance(tables, list) else []
    names = [(each.get(within, DEFAULT) if within else "", each.get("name")) for each in entries]
    called = Counter((place, name) for place, name in names if isinstance(place, str) and isinstance(name, str))
    what, one = sections.rstrip("s").replace("_", " "), f" in one {within}" if within else ""
    return [
        f"{what} '{name if place in ('', DEFAULT) else f'{place}/{name}'}': the name is used twice{one}; names must be unique"
        for (place, name), count in called.items()
        if count > 1
    ]


def is_address(url: str) -> bool:
    """Whether something is the address of a server: http or https, a host, and a port that is one where there is any."""
    try:
        parts = urllib.parse.urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
