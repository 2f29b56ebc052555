"""Where files are, when they are not in the data directory: an address, how it is reached, and a key apart."""

import urllib.parse
from collections.abc import Iterator

from slackwater.config.sections import ServerConfig
from slackwater.core.files.object_address import read_address


def faults_of_files(server: ServerConfig) -> Iterator[str]:
    """What is wrong with these settings, a sentence each; nothing of them is in it that may be a secret."""
    others = {
        name: getattr(server, name)
        for name in ("files_endpoint", "files_region", "files_key_env")
        if getattr(server, name)
    }
    if not server.files:
        for name in others:
            yield f"{name}: files are in the data directory; set files to the address of a store, or leave this out"
        return
    try:
        address = read_address(server.files)
    except ValueError as error:
        yield f"files: {error}"
        return
    if server.files_region and address.kind != "s3":
        yield "files_region: only s3:// has one"
    if server.files_endpoint and address.kind == "gs":
        yield "files_endpoint: gs:// has none; a store that speaks like S3 is s3://"
    elif server.files_endpoint and not _good(server.files_endpoint):
        yield "files_endpoint: must look like https://host:9000, without a key or a query"


def _good(endpoint: str) -> bool:
    try:
        parts = urllib.parse.urlsplit(endpoint)
        return (
            parts.scheme in ("http", "https")
            and bool(parts.hostname)
            and "@" not in parts.netloc
            and not (parts.query or parts.fragment)
            and parts.port != 0
        )
    except ValueError:
        return False
