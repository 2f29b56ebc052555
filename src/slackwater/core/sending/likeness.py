"""What a streamed answer leaves out: fields that say null or nothing, which engines write without a stream and not in chunks.

Before: an answer that was put together, and one of the same engine that came whole. After: answers.py.
"""

import msgspec
from msgspec import Raw

# What an engine writes where it has nothing to say.
NOTHING = frozenset({b"null", b"[]"})
# Where such fields are, beside the answer itself.
USAGE, CHOICES, MESSAGE = "usage", "choices", "message"

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_encode = msgspec.json.Encoder().encode

Names = dict[str, bytes]


class Likeness:
    """Which fields an engine writes although there is nothing in them."""

    __slots__ = ("_choice", "_details", "_message", "_top", "_usage")

    def __init__(self, whole: bytes) -> None:
        """`whole` is an answer that came without a stream. One that cannot be read teaches nothing."""
        self._top: Names = {}
        self._usage: Names = {}
        self._choice: Names = {}
        self._message: Names = {}
        self._details: dict[str, Names] = {}
        """Those of the objects in the usage, by the name of the object."""
        try:
            top = _fields(whole)
            choice = _objects(top[CHOICES])[0]
            usage, message = _inside(top, USAGE), _inside(choice, MESSAGE)
            details = {name: _empty(_fields(raw)) for name, raw in usage.items() if bytes(raw)[:1] == b"{"}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, IndexError):
            return
        self._top, self._usage = _empty(top), _empty(usage)
        self._choice, self._message = _empty(choice), _empty(message)
        self._details = {name: names for name, names in details.items() if names}

    def given_to(self, body: bytes) -> bytes:
        """The body with those of these fields that it does not have. Every value that it has keeps its bytes."""
        if not (self._top or self._usage or self._choice or self._message or self._details):
            return body
        try:
            top = _fields(body)
            choices = _objects(top[CHOICES])
            usage = _inside(top, USAGE)
            messages = [_inside(choice, MESSAGE) for choice in choices]
            details = {name: _fields(usage[name]) for name in self._details if bytes(usage.get(name, b""))[:1] == b"{"}
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError):
            return body
        for choice, message in zip(choices, messages, strict=True):
            if message:
                choice[MESSAGE] = _more(message, self._message)
            _add(choice, self._choice)
        top[CHOICES] = Raw(_encode(choices))
        for name, said in details.items():
            usage[name] = _more(said, self._details[name])
        if usage:
            top[USAGE] = _more(usage, self._usage)
        _add(top, self._top)
        return _encode(top)


def _inside(fields: dict[str, Raw], name: str) -> dict[str, Raw]:
    raw = fields.get(name)
    return {} if raw is None or bytes(raw) == b"null" else _fields(raw)


def _empty(fields: dict[str, Raw]) -> Names:
    return {name: value for name, raw in fields.items() if (value := bytes(raw)) in NOTHING}


def _add(fields: dict[str, Raw], names: Names) -> None:
    for name, value in names.items():
        if name not in fields:
            fields[name] = Raw(value)


def _more(fields: dict[str, Raw], names: Names) -> Raw:
    _add(fields, names)
    return Raw(_encode(fields))
