"""Storages that users have of their own, as the configuration lists them."""

from typing import TYPE_CHECKING

from slackwater.config import Config
from slackwater.core.errors import DataDirectoryError
from slackwater.core.files.blob_url import BlobRoot, read_root
from slackwater.wiring.files import MISSING, is_installed

if TYPE_CHECKING:
    from slackwater.adapters.object_store.place import CloudPlace, FolderPlace
    from slackwater.adapters.object_store.user_storages import ListedStorages
    from slackwater.config.user_storages import StorageConfig

# A store of somebody else's holds up its own batches alone, but each in a place that others could have.
RETRIED_SECONDS, SILENT_SECONDS = 5.0, 20.0


def user_storages_of(config: Config) -> "ListedStorages | None":
    """What users may name; None where that is nothing. Asks nobody. Raises DataDirectoryError where a library is missing."""
    if not config.storage:
        return None
    if not is_installed():
        raise DataDirectoryError(f"[[storage]]: {MISSING}")
    # Only who has one pays for the library.
    from slackwater.adapters.object_store.user_storages import Listed, ListedStorages

    listed = []
    for each in config.storage:
        root = read_root(each.url, each.endpoint)
        listed.append(Listed(each.resource, root, _place_of(each, root, config.storage_secrets.get(each.key_env, ""))))
    return ListedStorages(listed)


def is_place(storage: "StorageConfig") -> bool:
    """Whether a section names a place."""
    try:
        read_root(storage.url, storage.endpoint)
    except ValueError:
        return False
    return True


def _place_of(storage: "StorageConfig", root: BlobRoot, secret: str) -> "CloudPlace | FolderPlace":
    from slackwater.adapters.object_store.place import CloudPlace, FolderPlace

    if root.address is None:
        return FolderPlace(root.folder)
    return CloudPlace(
        root.address,
        endpoint=storage.endpoint,
        region=storage.region,
        secret=secret,
        retried_seconds=RETRIED_SECONDS,
        silent_seconds=SILENT_SECONDS,
        stays=True,
    )


def faults_of_user_storages(config: Config) -> list[str]:
    """What is wrong with a storage or its key before anybody is asked, a line each; a key is in none of them."""
    if not config.storage:
        return []
    if not is_installed():
        return [f"[[storage]]: {MISSING}"]
    faults = []
    for number, each in enumerate(config.storage, 1):
        root = read_root(each.url, each.endpoint)
        place = _place_of(each, root, config.storage_secrets.get(each.key_env, ""))
        try:
            place.open()
        except Exception as error:
            # What it says may have the key in it.
            where = f"key_env {each.key_env}: " if each.key_env else ""
            faults.append(f"storage {number}: {where}{place.why_closed(error)}; correct it, see docs/user-storage.md")
    return faults
