"""Blobs in storages of users, by the URLs that users write: which of them a resource may name, and where each lies.

A URL is not taken apart to see where it leads. It has to begin as one of the places begins that the operator has listed; so
whatever is odd about a host, a port or a name in it is simply not one of these. What is left is a path, which may lead nowhere
else: each part of it is a name.
"""

import re
import urllib.parse

from msgspec import Struct

from slackwater.core.files.object_address import ObjectAddress, read_address

AZURE = ".blob.core.windows.net"
FORMS = "https://ACCOUNT.blob.core.windows.net/CONTAINER, az://ACCOUNT/CONTAINER, s3://BUCKET, gs://BUCKET or file:///FOLDER"
# What stores take, and what file systems do.
KEY_BYTES_MAX, NAME_BYTES_MAX = 1024, 255
_AZURE_URL = re.compile(r"https://([a-z0-9]{3,24})\.blob\.core\.windows\.net(/.*)")
_HIDDEN = re.compile("%(?:2f|5c)", re.IGNORECASE)
_NO_NAME = re.compile(r"[\x00-\x1f\x7f\\%?#]")
_START = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://([^/]*)")


class BlobRoot(Struct, frozen=True):
    """A place that a resource may name blobs in, and everything below it."""

    begins: tuple[str, ...]
    """How the URLs begin that lead there, without a slash at their ends."""
    address: ObjectAddress | None = None
    """Which it is, in an object store."""
    folder: str = ""
    """Which it is, on this machine; empty for an object store."""

    def key_of(self, url: str, *, folder: bool = False) -> str | None:
        """The key below this place that a URL means; None where it leads somewhere else. That of a `folder` may be empty.

        Raises ValueError where it begins as this place does, and goes on as no name of a blob does.
        """
        if _START.match(url) is None:
            return None
        # Of a host, large letters are small ones.
        url = _small_host(url)
        begin = next((each for each in self.begins if url == each or url.startswith(each + "/")), None)
        if begin is None:
            return None
        rest = url[len(begin) + 1 :]
        if folder:
            rest = rest.removesuffix("/")
            if not rest:
                return ""
        return _key(rest, encoded=url.startswith("http"))


def read_root(text: str, endpoint: str = "") -> BlobRoot:
    """The place that an operator has written, reached at an `endpoint` where it is not the cloud's own. Raises ValueError."""
    if text.startswith("file://"):
        folder = text.removeprefix("file://").rstrip("/")
        if not folder.startswith("/") or any(part in ("", ".", "..") for part in folder[1:].split("/")):
            raise ValueError("file:// needs the path of a folder from the root, such as file:///srv/batches")
        return BlobRoot((f"file://{folder}",), folder=folder)
    azure = _AZURE_URL.fullmatch(text)
    try:
        address = read_address(f"az://{azure[1]}{azure[2]}" if azure else text)
    except ValueError as error:
        # Its words are about another setting.
        raise ValueError(
            f"must look like {FORMS}, with a prefix or without, and without a key, a port or a query"
        ) from error
    below = "/".join(filter(None, (address.container, address.prefix)))
    begins = [str(address)]
    if address.kind == "az" and not endpoint:
        begins.append(f"https://{address.account}{AZURE}/{below}")
    if endpoint:
        begins.append(f"{endpoint.rstrip('/')}/{below}")
    return BlobRoot(tuple(map(_small_host, begins)), address)


def _small_host(url: str) -> str:
    start = _START.match(url)
    return url if start is None else url[: start.end()].lower() + url[start.end() :]


def fault_of_url(text: str) -> str | None:
    """Why this is no URL of a blob, wherever it leads; None where it may be one. The text is not repeated: it may have a key."""
    if _START.match(text) is None:
        return f"must be the URL of a blob, such as https://ACCOUNT{AZURE}/CONTAINER/NAME"
    if "?" in text or "#" in text:
        return (
            "must be a URL without a query: a SAS token is the operator's to configure, and is never sent with a batch"
        )
    return None


def _key(path: str, *, encoded: bool) -> str:
    if encoded:
        if _HIDDEN.search(path):
            raise ValueError("a name in it has a slash that is hidden (%2F)")
        # Raises UnicodeDecodeError, which is a ValueError.
        path = urllib.parse.unquote(path, errors="strict")
    parts = path.split("/")
    if _NO_NAME.search(path) or any(part in ("", ".", "..") for part in parts):
        raise ValueError("its path has '.', '..', an empty name, or a character that no name has")
    if len(path.encode()) > KEY_BYTES_MAX or any(len(part.encode()) > NAME_BYTES_MAX for part in parts):
        raise ValueError("its path is too long")
    return path
