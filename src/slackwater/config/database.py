"""Where the ledger is, when it is not a file in the data directory: an address of PostgreSQL, and its password apart."""

import urllib.parse
from collections.abc import Iterator

STARTS = ("postgresql://", "postgres://")


def faults_of_database(address: str, password_env: str) -> Iterator[str]:
    """What is wrong with the two settings, a sentence each; nothing of the address is in them, because it may hold a password."""
    if not address:
        if password_env:
            yield "database_password_env: there is no database that the password could belong to"
        return
    try:
        parts = urllib.parse.urlsplit(address)
        # Several hosts, as libpq has them, are no number.
        # Without both slashes libpq takes it for something else.
        good = address.startswith(STARTS) and not parts.fragment and len(parts.path) > 1
        options = dict(urllib.parse.parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    except ValueError:
        good, options = False, {}
    if not good:
        yield "database: must look like postgresql://host:5432/name"
        return
    if password_env and (":" in parts.netloc.rpartition("@")[0] or "password" in options):
        yield "database: it has a password, and so has database_password_env; leave one of them out"


def with_password(address: str, password: str) -> str:
    """The address with the password in it."""
    parts = urllib.parse.urlsplit(address)
    user, at, hosts = parts.netloc.rpartition("@")
    return urllib.parse.urlunsplit(
        parts._replace(netloc=f"{user}:{urllib.parse.quote(password, safe='')}{at or '@'}{hosts}")
    )
