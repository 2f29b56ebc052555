"""Storages of users: whether each that the configuration lists lets us look into it."""

import asyncio
import secrets

import msgspec

from slackwater.config import Config
from slackwater.core.errors import DataDirectoryError, UserStorageAway, UserStorageRefused
from slackwater.wiring.doctor.finding import Finding, fault, ok, warning
from slackwater.wiring.user_storages import is_place, user_storages_of

ABOUT = "storage"
SEE = "see docs/user-storage.md"


async def storage_findings(config: Config) -> list[Finding]:
    """A line for each: it is asked for a blob that is not there. Nothing is written: they are other people's."""
    # What is no place is a fault of the configuration, and said with its others.
    named = [each for each in config.storage if is_place(each)]
    try:
        storages = user_storages_of(msgspec.structs.replace(config, storage=tuple(named)))
    except DataDirectoryError as error:
        return [fault(ABOUT, str(error), SEE)]
    if storages is None:
        return []

    async def one(resource: str, url: str) -> Finding:
        try:
            await storages.look(resource, f"{url}/slackwater-doctor-{secrets.token_hex(6)}")
        except FileNotFoundError:
            return ok(ABOUT, f"{url} answers")
        except UserStorageAway as away:
            return warning(ABOUT, f"{away}", f"batches that name it wait; {SEE}")
        except UserStorageRefused as refused:
            return warning(ABOUT, f"{refused}", f"batches that name it fail, or wait with their results; {SEE}")
        return warning(ABOUT, f"{url} has a blob of a name that was made up", "look who answers there")

    return list(await asyncio.gather(*(one(each.resource, each.url.rstrip("/")) for each in named)))
