"""Secrets stay where they were configured: what is said to people, written to logs or answered to users is masked here.

Two things are known to be secret: what a URL holds beside its place (user, password, query, fragment), and whatever was
given to a server to get in. A server may say the latter back ("wrong key sk-..."), and what it says is told to users.
"""

import re
import urllib.parse
from collections.abc import Iterable

MASK = "***"
# A scheme, and everything up to where a URL in a sentence has ended.
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*://)([^\s\"'<>\\]+)")
# What is shorter is found in ordinary words, and is no key.
SECRET_MIN = 8
# Headers and parameters that are no secrets, however long they are.
KNOWN = frozenset(
    {"accept", "accept-encoding", "accept-language", "api-version", "content-type", "model", "user-agent"}
)


def _of_url(found: "re.Match[str]") -> str:
    scheme, whole = found.groups()
    # What ends a sentence or a clause is not the URL's.
    url = whole.rstrip(".,:;!)]}")
    place, mark = url, ""
    for sign in "#?":
        place, found_sign, _ = place.partition(sign)
        mark = found_sign + MASK if found_sign else mark
    authority, slash, path = place.partition("/")
    return scheme + authority.rpartition("@")[2] + slash + path + mark + whole[len(url) :]


def masked(text: str) -> str:
    """A text in which no URL has a user, a password, a query or a fragment any more. Costs nothing where there is none."""
    return _URL.sub(_of_url, text) if "://" in text else text


def shown_url(url: str) -> str:
    """A URL for people, also one that is none: without what may be secret in it."""
    if "://" in url:
        return masked(url)
    place, mark, _ = url.partition("?")
    return place.partition("#")[0].rpartition("@")[2] + (mark and mark + MASK)


class Secrets:
    """What one server was given to get in, so that it can be taken out of what it says."""

    __slots__ = ("_values",)

    def __init__(self, headers: Iterable[tuple[str, str]] = (), query: str = "") -> None:
        """`headers` as name and value, and the query of its URL as it was configured."""
        values = set()
        for name, value in headers:
            if name.lower() not in KNOWN:
                values |= {value.strip(), value.strip().removeprefix("Bearer ")}
        for name, value in urllib.parse.parse_qsl(query):
            if name.lower() not in KNOWN:
                values |= {value, urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)}
        # The longest first: one may be a part of another.
        longest = sorted((each for each in values if len(each) >= SECRET_MIN), key=len, reverse=True)
        self._values = [each.encode("latin-1", "replace") for each in longest]

    def __bool__(self) -> bool:
        return bool(self._values)

    def taken_out(self, said: bytes) -> bytes:
        """The same without them."""
        for each in self._values:
            if each in said:
                said = said.replace(each, MASK.encode())
        return said
