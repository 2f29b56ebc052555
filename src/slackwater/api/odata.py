"""`$filter` and `$orderby` of the list of batches: a small part of OData, read by hand (spec 3.5).

    filter  := term ( 'and' term )*
    term    := ( field | 'metadata/' key ) operator value
    orderby := field [ 'asc' | 'desc' ]

Keywords and field names are not case-sensitive; keys of metadata are, and may stand in quotes. Every fault is an
InvalidRequest that names the character where it is, counted from 1, and what stands there. Texts and terms are bounded, so
that nobody can have us compare for long.
"""

import re
from collections.abc import Iterator, Sequence

from msgspec import Struct

from slackwater.core.batch import Status
from slackwater.core.errors import InvalidRequest
from slackwater.core.watching.listing import (
    EQUALITY,
    INTEGER_LEAST,
    INTEGER_MOST,
    NUMBERS,
    ORDERED,
    BatchQuery,
    Condition,
    Field,
    Operator,
    Ordering,
)

FILTER, ORDERBY = "$filter", "$orderby"
CHARACTERS_MAX, TERMS_MAX, SHOWN_MAX = 2_000, 32, 40

# A text in quotes ('' is a quote inside), a run of anything that cannot end a word, or one other character.
TOKEN = re.compile(r"'(?:[^']|'')*+'|[^\s'(),]+|\S")
INTEGER = re.compile(r"[+-]?[0-9]+\Z")
DATE = re.compile(r"'?[0-9]{4}-[0-9]{2}")
ONLY_AND = "only 'and' joins comparisons here; 'or', 'not', functions and parentheses are not supported"

STATUSES = {status.value.replace("_", ""): status for status in Status}
FIELDS = {field.value: field for field in Field}
OPERATORS = {operator.value: operator for operator in Operator}
METADATA = f"{Field.METADATA.value}/"


class _Token(Struct, frozen=True):
    """A piece of the text and where it starts, counted from 1."""

    text: str
    position: int

    @property
    def word(self) -> str:
        """The text as keywords are compared."""
        return self.text.lower()


class _Reader:
    """The tokens of one parameter, and the faults in it."""

    def __init__(self, name: str, text: str) -> None:
        self._name = name
        self._length = len(text)
        if len(text) > CHARACTERS_MAX:
            raise InvalidRequest(
                f"Invalid '{name}': it has {len(text):,} characters, and at most {CHARACTERS_MAX:,} are read.",
                param=name,
            )
        self._tokens = self._split(text)
        self.token = next(self._tokens)

    def _split(self, text: str) -> Iterator[_Token]:
        """Ends with an empty token, as often as one is asked for."""
        for match in TOKEN.finditer(text):
            yield _Token(match.group(), match.start() + 1)
        while True:
            yield _Token("", self._length + 1)

    def take(self) -> _Token:
        """This token; the reader stands on the next one afterwards."""
        token, self.token = self.token, next(self._tokens)
        return token

    def fault(self, token: _Token, what: str) -> InvalidRequest:
        """An error that says where, what stands there, and what was expected."""
        shown = token.text if len(token.text) <= SHOWN_MAX else token.text[:SHOWN_MAX] + "..."
        there = f'"{shown}"' if shown else "the end"
        return InvalidRequest(
            f"Invalid '{self._name}' at character {token.position} (counted from 1), {there}: {what}.", param=self._name
        )


def read_query(filters: Sequence[str], orderings: Sequence[str]) -> BatchQuery:
    """The query that the parameters ask for, each as often as it was given. A blank one asks for nothing.

    Raises InvalidRequest.
    """
    return BatchQuery(
        conditions=_read_filter(_only(FILTER, filters)), ordering=_read_ordering(_only(ORDERBY, orderings))
    )


def _only(name: str, given: Sequence[str]) -> str:
    if len(given) > 1:
        raise InvalidRequest(f"'{name}' may be given once, and was given {len(given)} times.", param=name)
    return given[0] if given else ""


def _read_filter(text: str) -> tuple[Condition, ...]:
    reader = _Reader(FILTER, text)
    if not reader.token.text:
        return ()
    conditions = [_read_term(reader)]
    while reader.token.text:
        joint = reader.take()
        if joint.word != "and":
            raise reader.fault(joint, f"expected 'and' or the end; {ONLY_AND}")
        if len(conditions) == TERMS_MAX:
            raise reader.fault(joint, f"at most {TERMS_MAX} comparisons are read")
        conditions.append(_read_term(reader))
    return tuple(conditions)


def _read_term(reader: _Reader) -> Condition:
    field, key = _read_field(reader)
    operator_token = reader.take()
    operator = OPERATORS.get(operator_token.word)
    if operator is None:
        raise reader.fault(operator_token, f"expected one of {', '.join(OPERATORS)} after '{field.value}'")
    if field not in NUMBERS and operator not in EQUALITY:
        raise reader.fault(operator_token, f"'{field.value}' can be compared with eq and ne only")
    return Condition(field, operator, _read_value(reader, field), key)


def _read_field(reader: _Reader) -> tuple[Field, str]:
    """The field, and of metadata the key."""
    token = reader.take()
    if token.word == Field.METADATA or token.word.startswith(METADATA):
        return Field.METADATA, _read_key(reader, token)
    field = FIELDS.get(token.word)
    if field is not None:
        return field, ""
    if token.text == "(" or token.word == "not" or reader.token.text == "(":
        raise reader.fault(token, ONLY_AND)
    example = "a comparison is written like: created_at gt 1728773533"
    raise reader.fault(token, f"expected one of the fields {', '.join(FIELDS)}; {example}")


def _read_key(reader: _Reader, token: _Token) -> str:
    """A key behind the slash; one that is no single word is a text there."""
    key = token.text[len(METADATA) :]
    if not key and token.word == METADATA and reader.token.text.startswith("'"):
        key = _unquoted(reader, reader.take())
    if not key:
        raise reader.fault(token, "a key of metadata is named like: metadata/team, or metadata/'my team'")
    return key


def _unquoted(reader: _Reader, token: _Token) -> str:
    if len(token.text) == 1:
        raise reader.fault(token, "this quote is not closed; a quote inside a text is written twice")
    return token.text[1:-1].replace("''", "'")


def _read_value(reader: _Reader, field: Field) -> int | str:
    token = reader.take()
    if field in NUMBERS:
        return _read_integer(reader, token, field)
    if not token.text.startswith("'"):
        raise reader.fault(token, f"'{field.value}' is compared with a text in single quotes")
    text = _unquoted(reader, token)
    if field is not Field.STATUS:
        return text
    status = STATUSES.get(text.lower().replace("_", ""))
    if status is None:
        raise reader.fault(token, f"there is no such status; the statuses are {', '.join(Status)}")
    return status


def _read_integer(reader: _Reader, token: _Token, field: Field) -> int:
    if not INTEGER.match(token.text):
        hint = "not with the text of a date" if DATE.match(token.text) else "such as 1728773533"
        raise reader.fault(token, f"'{field.value}' is compared with whole seconds since 1970 (epoch seconds), {hint}")
    # No more digits are converted than 64 bits can have; leading zeros are no reason to.
    digits = token.text.lstrip("+-").lstrip("0")
    value = int(digits or "0") if len(digits) <= len(str(INTEGER_MOST)) else INTEGER_MOST + 1
    value = -value if token.text.startswith("-") else value
    if not INTEGER_LEAST <= value <= INTEGER_MOST:
        raise reader.fault(token, "the number does not fit 64 bits")
    return value


def _read_ordering(text: str) -> Ordering:
    reader = _Reader(ORDERBY, text)
    token = reader.take()
    if not token.text:
        return Ordering()
    field = FIELDS.get(token.word)
    if field is None or field not in ORDERED:
        names = ", ".join(field for field in Field if field in ORDERED)
        raise reader.fault(token, f"expected one of the fields {names}")
    direction = reader.token.word
    if direction in ("asc", "desc"):
        reader.take()
    if reader.token.text == ",":
        raise reader.fault(reader.token, "lists are ordered by one field")
    if reader.token.text:
        raise reader.fault(reader.token, "expected 'asc', 'desc' or the end")
    return Ordering(field=field, descending=direction == "desc")
