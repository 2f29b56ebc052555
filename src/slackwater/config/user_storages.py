"""Storages that users have of their own: which of them a resource may name, and with what they are opened."""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from slackwater.config.tables import is_address, section
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.files.blob_url import read_root


class StorageConfig(Struct, frozen=True, kw_only=True):
    """`[[storage]]`: a place in an object store that a resource may name blobs in, instead of files. See user-storage.md."""

    url: str
    """Such as `https://ACCOUNT.blob.core.windows.net/CONTAINER`, `az://ACCOUNT/CONTAINER`, `s3://BUCKET`, `gs://BUCKET`, each
    with a prefix or without, or `file:///FOLDER`. Everything below it may be read, and written to. Needs `'.[stores]'`."""
    resource: str = DEFAULT
    """The resource that may name it; nobody else may."""
    endpoint: str = ""
    """Address of a store that only speaks like S3 or Azure, such as `https://minio.internal:9000`; empty: the cloud's own."""
    region: str = ""
    """Region of an S3 bucket, such as `eu-west-1`. Empty: what `AWS_REGION` says, or `us-east-1`."""
    key_env: str = ""
    """Environment variable that holds the key: `KEY_ID:SECRET` for S3, an account key or a SAS token for Azure, the JSON of a
    service account for Google. Empty: the variables that each cloud's own programs read, or the identity of the machine."""


def storages_of(raw: object, faults: list[str]) -> list[StorageConfig]:
    """The sections, as far as they can be read."""
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        faults.append("storage: must be written as [[storage]] sections")
        return []
    read = [section(entry, StorageConfig, f"storage {number}", faults) for number, entry in enumerate(raw, 1)]
    return [storage for storage in read if storage is not None]


def faults_of_storages(storages: Iterable[StorageConfig], resources: Iterable[str]) -> Iterator[str]:
    """What is wrong with these settings, a sentence each; nothing of them is in it that may be a secret."""
    known = set(resources)
    for number, storage in enumerate(storages, 1):
        where = f"storage {number}"
        if storage.resource not in known:
            yield f"{where}: there is no resource '{storage.resource}'; add a [[resources]] section with that name"
        try:
            root = read_root(storage.url)
        except ValueError as error:
            yield f"{where}: url: {error}"
            continue
        kind = "file" if root.address is None else root.address.kind
        if storage.region and kind != "s3":
            yield f"{where}: region: only s3:// has one"
        if storage.key_env and kind == "file":
            yield f"{where}: key_env: a folder has no key; leave it out"
        if storage.endpoint and kind in ("gs", "file"):
            yield f"{where}: endpoint: {kind}:// has none; a store that speaks like S3 is s3://"
        elif storage.endpoint and (not is_address(storage.endpoint) or any(sign in storage.endpoint for sign in "@?#")):
            yield f"{where}: endpoint: must look like https://host:9000, without a key or a query"
