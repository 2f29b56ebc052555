"""The address of a database, as libpq reads it."""

import functools
import os
import re
from collections.abc import Mapping

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

PARAMETERS = "https://www.postgresql.org/docs/current/libpq-connect.html"
# What libpq says of an address names the parameter, or repeats a part of it, which may be the password.
HARMLESS = ("invalid URI query parameter:", "invalid connection option")
# libpq looks at values only when it connects: it is given a place where nobody is, and nothing goes over a network.
NOWHERE = "/nonexistent"
NOBODY_THERE = f'connection to server on socket "{NOWHERE}/'
OF_VALUE = re.compile(
    r'invalid (?:integer value ".*" for connection option "(?P<number>\w+)"|(?P<word>\w+) (?:value|number):)'
)
# Those that it would look at only where there is somebody.
NUMBERS = (
    "connect_timeout",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
)
TAKES = {
    "port": "a number from 1 to 65535",
    "sslmode": "disable, allow, prefer, require, verify-ca or verify-full",
    "target_session_attrs": "any, read-write, read-only, primary, standby or prefer-standby",
    **dict.fromkeys(NUMBERS, "a whole number"),
}

# Where systems keep the list of the authorities that they trust: Debian and Ubuntu; Fedora and Red Hat; SUSE; Alpine and macOS.
SYSTEMS_LISTS = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
)


def systems_authorities(asked: Mapping[str, str]) -> dict[str, str]:
    """What `sslrootcert=system` has to be for this libpq to find them; nothing where something else is asked for.

    The one of psycopg's binary package looks in a folder of its own making, which no system has. With `system`, libpq takes no
    other sslmode than verify-full.
    """
    if asked.get("sslrootcert", os.environ.get("PGSSLROOTCERT")) != "system" or psycopg.pq.__impl__ != "binary":
        return {}
    if os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR"):
        return {}
    file = next(filter(os.path.isfile, SYSTEMS_LISTS), None)
    return {} if file is None else {"sslrootcert": file, "sslmode": "verify-full"}


def parameters_of(address: str) -> dict[str, str]:
    """What is in it, by libpq's names. Raises ValueError, with words that show nothing that may be secret."""
    try:
        found = {name: str(value) for name, value in conninfo_to_dict(address).items()}
        if "@" in found.get("host", ""):
            raise psycopg.ProgrammingError
        return found
    except psycopg.ProgrammingError as error:
        said = " ".join(str(error).split())
        if said.startswith(HARMLESS):
            raise ValueError(f"{said}; see {PARAMETERS}") from error
        raise ValueError(
            "it is no address: in a name or a password, each of the characters %:/?#[]@ has to be written as %XX"
        ) from error


@functools.lru_cache(maxsize=4)
def faults_of(address: str) -> tuple[str, ...]:
    """What libpq would not take of an address that it reads, a line each, without any value: one may be a part of a password."""
    left: dict[str, str] = {name: value for name, value in parameters_of(address).items() if name != "hostaddr"}
    left["host"] = ",".join([NOWHERE] * len(left.get("host", "").split(",")))
    found = [name for name in NUMBERS if name in left and not re.fullmatch(r"\s*-?\d+\s*", left[name])]
    faults = []
    while True:
        said = psycopg.pq.PGconn.connect_start(make_conninfo("", **left).encode()).error_message.decode(
            "utf-8", "replace"
        )
        refused = next(
            (line for line in said.splitlines() if line.startswith(("invalid", "weak", "could not match"))), ""
        )
        if not refused and not said.startswith(NOBODY_THERE):
            # Such as a service that is in no file.
            refused = " ".join(said.split())
        value = OF_VALUE.match(refused)
        name = "" if value is None else value["number"] or value["word"]
        if name not in left:
            faults += [refused] if refused else []
            break
        found.append(name)
        del left[name]
    return tuple(
        f"{name} has to be {TAKES[name]}" if name in TAKES else f"{name} has a value that is none; see {PARAMETERS}"
        for name in found
    ) + tuple(faults)
