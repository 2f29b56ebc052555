"""The files where they are in an object store: whether it lets us do all that a server needs, and whose files they are."""

import asyncio
import secrets
import time
from pathlib import Path

from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.identity import find
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.config import LOOPBACK, Config
from slackwater.core.errors import DataDirectoryError, StorageTrouble
from slackwater.wiring.doctor.finding import Finding, fault, ok, warning
from slackwater.wiring.files import fault_in_store, fault_without_store, store_of

ABOUT = "files"
# The store's clock and ours may differ by this much; what is signed a quarter of an hour off is refused.
SECONDS_APART_MAX = 60.0
SLOW_SECONDS = 0.5


async def file_findings(directory: Path, config: Config) -> list[Finding]:
    """What is to be said of them. Nothing, where they are in the data directory and should be.

    Writes an object, reads it and a range of it, lists it and removes it.
    """
    try:
        store = store_of(config)
        if store is None:
            words = fault_without_store(directory)
            return [fault(ABOUT, words, "name it again in [server] files")] if words else []
        begun = time.monotonic()
        apart = await store.try_out(f"doctor-{secrets.token_hex(6)}")
        took = (time.monotonic() - begun) / store.REQUESTS
        found = [ok(ABOUT, f"{store.shown}: written, read, listed and removed, {1000 * took:.0f} ms a request")]
        if took > SLOW_SECONDS:
            found.append(warning(ABOUT, f"a request takes {took:.1f} s", "run the server near the store"))
        if abs(apart) > SECONDS_APART_MAX:
            found.append(
                warning(
                    ABOUT,
                    f"the clock of the store and ours are {abs(apart):.0f} s apart",
                    "set the clock of this machine",
                )
            )
        endpoint = config.server.files_endpoint
        if endpoint.startswith("http://") and not any(each in endpoint for each in LOOPBACK):
            found.append(warning(ABOUT, "files go over the network unencrypted", "use https:// in files_endpoint"))
        ledger = await asyncio.to_thread(
            lambda: SqlLedger.found_at(config.database) if config.database else find(DataDirectory.ledger_in(directory))
        )
        words = await fault_in_store(store, ledger, directory, config.database)
        return [*found, *([fault(ABOUT, words, "see docs/object-stores.md")] if words else [])]
    except (DataDirectoryError, StorageTrouble, OSError) as error:
        return [fault(ABOUT, str(error), "see docs/object-stores.md")]
