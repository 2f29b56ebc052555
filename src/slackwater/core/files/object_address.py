"""Where files lie that are not in the data directory: an address of an object store, as users of each cloud write it."""

import re
import urllib.parse
from typing import Literal

from msgspec import Struct

Kind = Literal["s3", "az", "gs"]

FORMS = "s3://BUCKET/PREFIX, az://ACCOUNT/CONTAINER/PREFIX or gs://BUCKET/PREFIX"

# What the clouds themselves allow, and some more for stores that imitate them.
_CONTAINER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,221}")
_ACCOUNT = re.compile(r"[a-z0-9]{3,24}")
_SEGMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._=-]*")


class ObjectAddress(Struct, frozen=True):
    """A place in an object store. Everything of one service lies below its prefix."""

    kind: Kind
    account: str
    """Of Azure alone; empty elsewhere."""
    container: str
    """A bucket, or what Azure calls a container."""
    prefix: str
    """Without slashes at its ends; empty: the whole container."""

    def __str__(self) -> str:
        """The address as it is written. There is no secret in it."""
        return f"{self.kind}://{'/'.join(filter(None, (self.account, self.container, self.prefix)))}"


def read_address(text: str) -> ObjectAddress:
    """The address in a text. Raises ValueError, whose words do not repeat it: somebody may have put a secret into it."""
    parts = urllib.parse.urlsplit(text)
    if parts.scheme not in ("s3", "az", "gs"):
        raise ValueError(f"must look like {FORMS}")
    if "@" in parts.netloc or parts.query or parts.fragment or ":" in parts.netloc:
        raise ValueError(f"must look like {FORMS}, without a key, a port or a query; a key goes into files_key_env")
    names = [parts.netloc, *filter(None, parts.path.split("/"))]
    account = names.pop(0) if parts.scheme == "az" else ""
    if account and not _ACCOUNT.fullmatch(account):
        raise ValueError("the account of az://ACCOUNT/CONTAINER has 3 to 24 small letters and digits, and no dots")
    if not names or not _CONTAINER.fullmatch(names[0]):
        raise ValueError(f"must look like {FORMS}; the name of the bucket or container is missing, or is none")
    if any(not _SEGMENT.fullmatch(name) or name.endswith(".part") for name in names[1:]):
        raise ValueError(
            "the prefix may have letters, digits, '.', '-', '_' and '=', and begins with a letter or digit"
        )
    return ObjectAddress(parts.scheme, account, names[0], "/".join(names[1:]))  # type: ignore[arg-type]
