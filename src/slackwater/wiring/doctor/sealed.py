"""Keys of engines that are stored: whether this configuration opens them, and which are to be given anew."""

from collections.abc import Callable
from typing import Any

from slackwater.adapters.backup.store import CONNECTIONS_SINCE
from slackwater.config import Config
from slackwater.ports import CannotOpen
from slackwater.wiring.doctor.finding import Finding, fault, note, ok
from slackwater.wiring.sealing import sealer_of

ABOUT = "keys of engines"
NAMED_MAX = 5
QUERY = (
    "SELECT connection.resource, connection.name, secret.sealed FROM connection LEFT JOIN connection_secret AS secret "
    "ON secret.resource = connection.resource AND secret.name = connection.name WHERE connection.key_stored = 1 ORDER BY 1, 2"
)


def sealed_findings(config: Config, *, schema: int, rows: Callable[[str], list[Any]]) -> list[Finding]:
    """What is to be said of them; nothing where none is stored."""
    stored = rows(QUERY) if schema >= CONNECTIONS_SINCE else []
    if not stored:
        return []
    sealer, why = sealer_of(config), {}
    older = 0
    for resource, name, sealed in stored:
        about = f"{resource}/{name}"
        if sealed is None:
            why[about] = "is not in this ledger, because back-ups have no keys"
        elif sealer is None:
            why[about] = "is sealed, and there is no secrets key"
        else:
            try:
                sealer.open(sealed, about=about)
                older += not sealer.is_newest(sealed)
            except CannotOpen as error:
                why[about] = str(error).partition(":")[0].removeprefix("its key ")
    if why:
        first, said = next(iter(why.items()))
        others = f" (and those of {len(why) - 1} more)" if len(why) > 1 else ""
        fix = "set secrets_key_env or secrets_key_file under [server] to the key that sealed it, or give the engine's key anew"
        return [fault(ABOUT, f"that of {first} {said}{others}; nothing is sent there", fix)]
    if older:
        return [
            note(
                ABOUT,
                f"{older} of {len(stored)} are sealed under an older secrets key",
                "the next start seals them anew",
            )
        ]
    return [ok(ABOUT, f"{len(stored)} can be opened")]
