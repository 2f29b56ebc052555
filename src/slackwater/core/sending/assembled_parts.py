"""How the values of a streamed answer become one value each. Used by assembling.py.

Nothing is decoded that need not be: the texts of JSON strings, without their quotes, are one text when they are put in a row, and
so are the insides of lists. Every `merge` returns by how many bytes more is kept, our own objects included.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Raw

# Who somebody or what something is: it is said once, or the same again and again (Ollama repeats the role).
IDENTITY = frozenset({"id", "type", "role", "name", "index", "format", "signature"})
# What is numbered inside a delta, and whose numbers nobody but the stream needs.
TOOL_CALLS = "tool_calls"
# An object within objects, as deep as anything has been seen, and more.
DEPTH_MAX = 16
# About what an entry of ours costs beside its bytes.
ENTRY_BYTES = 300
# From mild to bad, as Azure says it.
SEVERITIES = ("safe", "low", "medium", "high")
NOTHING = frozenset({b"null", b'""', b"[]", b"{}"})

_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_raws = msgspec.json.Decoder(list[Raw]).decode
_plain = msgspec.json.Decoder().decode
_number = msgspec.json.Decoder(int).decode
_encode = msgspec.json.encode


class NotUnderstood(Exception):
    """Something in a stream can be read in two ways, or in none. The message has nothing of the answer."""


def says_nothing(value: bytes) -> bool:
    """Whether a value leaves open what it stands for: null, "", [] or {}."""
    return value in NOTHING


class _Joined:
    """A text or a list that grows: what is between its quotes or brackets."""

    __slots__ = ("inside", "kind")

    def __init__(self, value: bytes) -> None:
        self.kind = value[:1]
        self.inside = bytearray(value[1:-1].strip() if self.kind == b"[" else value[1:-1])

    def join(self, value: bytes) -> int:
        more = value[1:-1]
        if self.kind == b"[":
            more = more.strip()
            if more and self.inside:
                self.inside += b","
        self.inside += more
        return len(more) + 1

    def write(self, parts: list[bytes | bytearray]) -> None:
        parts += (self.kind, self.inside, b'"' if self.kind == b'"' else b"]")


class _Numbered:
    """Objects that say which they are, such as tool calls: each comes in pieces."""

    __slots__ = ("entries",)

    def __init__(self) -> None:
        self.entries: dict[int, Fields] = {}

    def merge(self, pieces: list[dict[str, Raw]], depth: int) -> int:
        grown = 0
        for fields in pieces:
            number = _number(fields["index"])
            entry = self.entries.get(number)
            if entry is None:
                entry = self.entries[number] = Fields()
                grown += ENTRY_BYTES
            elif _another(entry, fields):
                raise NotUnderstood("two tool calls have one number")
            grown += entry.merge(fields, depth + 1)
        return grown

    def write(self, parts: list[bytes | bytearray], *, numbered: bool) -> None:
        parts.append(b"[")
        for place, (_, entry) in enumerate(sorted(self.entries.items())):
            if place:
                parts.append(b",")
            if not numbered:
                entry.drop("index")
            entry.write(parts)
        parts.append(b"]")


class Fields:
    """An object that comes in pieces."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: dict[str, bytes | _Joined | _Numbered | Fields] = {}

    def merge(self, pieces: dict[str, Raw], depth: int = 0) -> int:
        """Another piece of a delta, or of an object in one. Raises NotUnderstood."""
        if depth > DEPTH_MAX:
            raise NotUnderstood("its objects are too deep")
        grown = 0
        for name, raw in pieces.items():
            value = bytes(raw)
            first = value[:1]
            if first == b'"' and name not in IDENTITY:
                grown += self.join(name, value)
            elif first == b"[":
                grown += self._list(name, value, depth)
            elif first == b"{":
                part = self._parts.get(name)
                if not isinstance(part, Fields):
                    grown += self._replace(name, part, ENTRY_BYTES)
                    part = self._parts[name] = Fields()
                grown += part.merge(_fields(value), depth + 1)
            else:
                grown += self.last(name, value)
        return grown

    def of_choice(self, name: str, value: bytes, depth: int = 0) -> int:
        """A field of a choice beside its delta: lists go on, of anything else the last counts. Those of the prompt come once."""
        if value[:1] == b"[" and not name.startswith("prompt"):
            return self.join(name, value)
        if name == "logprobs" and value[:1] == b"{":
            part = self._parts.get(name)
            grown = 0
            if not isinstance(part, Fields):
                grown += self._replace(name, part, ENTRY_BYTES)
                part = self._parts[name] = Fields()
            return grown + sum(part.of_choice(each, bytes(raw)) for each, raw in _fields(value).items())
        return self.last(name, value)

    def join(self, name: str, value: bytes) -> int:
        """A text or a list goes on."""
        part = self._parts.get(name)
        if type(part) is _Joined and part.kind == value[:1]:
            return part.join(value)
        if value in (b'""', b"[]") and part is not None and not _empty(part):
            return 0
        grown = self._replace(name, part, len(value) + ENTRY_BYTES)
        self._parts[name] = _Joined(value)
        return grown

    def last(self, name: str, value: bytes) -> int:
        """What counts is what came last, unless that is nothing."""
        part = self._parts.get(name)
        if part is not None and says_nothing(value):
            return 0
        if part is not None and not isinstance(part, bytes):
            if not _empty(part):
                raise NotUnderstood("a value changes its type")
        elif part is not None and name == "id" and not says_nothing(part):
            # Older versions of vLLM make up another one for every piece.
            return 0
        self._parts[name] = value
        return len(value) - len(part) if isinstance(part, bytes) else len(value) + ENTRY_BYTES

    def _list(self, name: str, value: bytes, depth: int) -> int:
        part = self._parts.get(name)
        pieces = _raws(value)
        if not isinstance(part, _Numbered) and not (pieces and all(bytes(raw)[:1] == b"{" for raw in pieces)):
            return self.join(name, value)
        objects = [_fields(raw) for raw in pieces]
        if not all("index" in fields for fields in objects):
            # Whole ones, which nobody goes on with.
            if isinstance(part, _Numbered):
                raise NotUnderstood("some of its parts are numbered, and some are not")
            if name == TOOL_CALLS and isinstance(part, _Joined) and part.inside:
                raise NotUnderstood("its tool calls are not numbered")
            return self.join(name, value)
        grown = 0
        if not isinstance(part, _Numbered):
            grown += self._replace(name, part, ENTRY_BYTES)
            part = self._parts[name] = _Numbered()
        return grown + part.merge(objects, depth)

    def _replace(self, name: str, part: "bytes | _Joined | _Numbered | Fields | None", cost: int) -> int:
        """A value of another type takes the place of one that said nothing."""
        if part is not None and not _empty(part):
            raise NotUnderstood("a value changes its type")
        return cost + len(name)

    def text_of(self, name: str) -> bytes:
        """A value that came whole, or b"" where there is none."""
        part = self._parts.get(name)
        return part if isinstance(part, bytes) else b""

    def object_of(self, name: str) -> "Fields | None":
        """An object in it."""
        part = self._parts.get(name)
        return part if isinstance(part, Fields) else None

    def has(self, name: str) -> bool:
        """Whether there is anything in a field."""
        part = self._parts.get(name)
        return part is not None and not _empty(part)

    def empty_is_null(self, name: str, *, beside: Sequence[str]) -> None:
        """A text that has remained empty is null where there is something else in its place."""
        if not self.has(name) and any(map(self.has, beside)):
            self._parts[name] = b"null"

    def add(self, name: str, value: bytes) -> None:
        """A value where there is none."""
        self._parts.setdefault(name, value)

    def drop(self, name: str) -> None:
        """Leaves out a value."""
        self._parts.pop(name, None)

    @property
    def empty(self) -> bool:
        """Whether there is nothing in it."""
        return not self._parts

    def write(self, parts: list[bytes | bytearray], *, numbered: bool = True) -> None:
        """The object as text. `numbered`: tool calls keep their numbers."""
        parts.append(b"{")
        self.write_inside(parts, numbered=numbered, begun=False)
        parts.append(b"}")

    def write_inside(self, parts: list[bytes | bytearray], *, numbered: bool = True, begun: bool = True) -> None:
        """The same without its braces. `begun`: something stands before it."""
        for name, part in self._parts.items():
            parts += (b"," if begun else b"", _encode(name), b":")
            begun = True
            if isinstance(part, bytes):
                parts.append(part)
            elif isinstance(part, _Numbered):
                part.write(parts, numbered=numbered or name != TOOL_CALLS)
            else:
                part.write(parts)


class Verdicts:
    """What a content filter has found: of each category the worst."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        self._found: dict[str, object] = {}

    def merge(self, value: bytes) -> int:
        """More findings, as JSON."""
        more = _plain(value)
        if not isinstance(more, dict):
            return 0
        known = len(self._found)
        for category, finding in more.items():
            self._found[category] = _worse(self._found.get(category), finding)
        return (len(self._found) - known) * (len(value) + ENTRY_BYTES)

    @property
    def any(self) -> bool:
        """Whether there are any: a stream of Azure's begins and ends with none."""
        return bool(self._found)

    def write(self, parts: list[bytes | bytearray]) -> None:
        """All of them as text."""
        parts.append(_encode(self._found))


def _worse(one: object, other: object) -> object:
    if not isinstance(one, dict) or not isinstance(other, dict):
        return other if one is None or other is not None else one
    worse = dict(one)
    for name, value in other.items():
        before = one.get(name)
        if isinstance(value, bool) and isinstance(before, bool):
            worse[name] = value or before
        elif value in SEVERITIES and before in SEVERITIES:
            worse[name] = max(value, before, key=SEVERITIES.index)
        elif value is not None or before is None:
            worse[name] = value
    return worse


def _empty(part: "bytes | _Joined | _Numbered | Fields") -> bool:
    if isinstance(part, bytes):
        return says_nothing(part)
    if isinstance(part, _Joined):
        return not part.inside
    return not part.entries if isinstance(part, _Numbered) else part.empty


def _another(entry: Fields, fields: dict[str, Raw]) -> bool:
    """Whether a piece begins a call of its own under a number that is taken: with an id and a name, after arguments."""
    said, known = bytes(fields.get("id", b"null")), entry.text_of("id")
    if says_nothing(said) or said == known or says_nothing(known or b"null"):
        return False
    function, before = fields.get("function"), entry.object_of("function")
    if function is None or before is None or not before.has("arguments"):
        return False
    return not says_nothing(bytes(_fields(function).get("name", b"null")))
