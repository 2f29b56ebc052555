"""The address of a database, as libpq reads it."""

import psycopg
from psycopg.conninfo import conninfo_to_dict

PARAMETERS = "https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS"
# What libpq says of an address names the parameter, or repeats a part of it, which may be the password.
HARMLESS = ("invalid URI query parameter:", "invalid connection option")


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
