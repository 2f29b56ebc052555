"""What can be done about a database that lets nobody in, by the words of PostgreSQL and of its client library.

They are those of English. Where a server speaks another language, its own words stand alone.
"""

import re
from collections.abc import Sequence

# What it says has all of the words, and what helps. Nothing in it is a secret.
REMEDIES: Sequence[tuple[tuple[str, ...], str]] = (
    (
        ("certificate verify failed",),
        "its certificate is not of an authority in sslrootcert, or is out of date: name the right authority "
        "(sslrootcert=FILE, or sslrootcert=system for a public one), or renew it",
    ),
    (
        ("does not match host name",),
        "name the host as its certificate does, or give it a certificate for the name that it has here",
    ),
    (("does not support SSL",), "turn TLS on there (ssl = on in postgresql.conf), or name the host that has it"),
    (
        ("root certificate file",),
        "put the certificate of its authority there, or name it in the address: sslrootcert=FILE, or sslrootcert=system "
        "where a public authority has signed the database's certificate",
    ),
    (("password authentication failed",), "correct the password (database_password_env), or the role"),
    (("no password supplied",), "name the variable that has the password: database_password_env"),
    (
        ("no pg_hba.conf entry",),
        "let this host, role and database in, in pg_hba.conf, with the encryption that sslmode asks for",
    ),
    (("permission denied for database",), "GRANT CONNECT ON DATABASE to its role"),
    (("database", "does not exist"), "make the database, or correct its name"),
    (("role", "does not exist"), "make the role, or correct its name"),
    (("too many clients already",), "raise max_connections in postgresql.conf: each server has up to nine"),
    (
        ("remaining connection slots are reserved",),
        "raise max_connections in postgresql.conf: each server has up to nine",
    ),
    (("too many connections for",), "raise the CONNECTION LIMIT: each server has up to nine"),
    (("session is read-only",), "name the host that takes writes, too, or promote a standby"),
)
# What libpq adds of its own: the last of it gives passwords to whoever answers, and ours says what to do.
ADVICE = re.compile(r" ?Either provide the file.*?certificate verification\.")

# What nobody comes by waiting: somebody has to correct it, here or there. Full or not there yet is another matter.
SETTLED = (
    "certificate verify failed",
    "does not match host name",
    "root certificate file",
    "does not support SSL",
    "password authentication failed",
    "no password supplied",
    "no pg_hba.conf entry",
    "permission denied for database",
    "does not exist",
    "is not permitted to log in",
)
# Before what is said of each host, and of each try at one.
TRIED = "connection to server "


def settled(said: str) -> bool:
    """Whether trying again is of no use: of several hosts, all have to say so, because one that is away may take writes later."""
    _, *tries = said.split(TRIED)
    return bool(tries) and all(any(words in each for words in SETTLED) for each in tries)


def remedy_of(said: str) -> str:
    """What to do about what was said, after a semicolon; nothing where nobody knows."""
    for words, remedy in REMEDIES:
        if all(word in said for word in words):
            return f"; {remedy}"
    return ""


def without_advice(said: str) -> str:
    """The same words without what libpq would have one do."""
    return ADVICE.sub("", said)
