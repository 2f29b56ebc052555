"""The ledger: whether it is sound, of which schema, whether its files are there, and who may come in."""

import sqlite3
from pathlib import Path

from slackwater.adapters.backup.store import named_in
from slackwater.adapters.disk.data_directory import DataDirectory
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.config import LOOPBACK, Config
from slackwater.core.errors import DataDirectoryError, LedgerMoved
from slackwater.core.files.belonging import Fit
from slackwater.wiring.belonging import fault_of, look, remedy_of
from slackwater.wiring.doctor.bytes import byte_findings
from slackwater.wiring.doctor.database import database_findings
from slackwater.wiring.doctor.finding import Finding, fault, note, ok, warning
from slackwater.wiring.doctor.growth import growth_findings
from slackwater.wiring.doctor.sealed import sealed_findings

ABOUT = "ledger"
# Clocks may differ by this much before anything is wrong.
SECONDS_AHEAD_MAX = 60


def ledger_findings(directory: Path, config: Config, *, now: float, deep: bool = False) -> list[Finding]:
    """What is to be said of the ledger; of the keys also where there is none yet. `deep`: of every byte of the files, too."""
    if config.database:
        found, stored = database_findings(directory, config, deep=deep)
        return [*found, *_keys(config, directory, stored=stored)]
    path = DataDirectory.ledger_in(directory)
    stranger, fits = _stranger(directory, config)
    if stranger is not None and not fits:
        return [stranger]
    if not path.exists():
        return [note(ABOUT, "there is none yet; the first start makes it"), *_keys(config, directory, stored=0)]
    try:
        ledger = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=10)
        (schema,) = ledger.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        return [fault(ABOUT, f"{path} cannot be read: {error}", "restore a back-up, or correct its permissions")]
    try:
        found = _look(ledger, schema, directory, config, now, deep=deep)
        return found if stranger is None else [stranger, *found]
    except sqlite3.DatabaseError as error:
        return [fault(ABOUT, f"{path} is damaged: {error}", "stop the server and restore a back-up")]
    finally:
        ledger.close()


def _stranger(directory: Path, config: Config) -> tuple[Finding | None, bool]:
    """What is wrong where a start is refused; and whether the ledger is the right one all the same, and more is to be said."""
    try:
        fit, found, _ = look(directory, files=config.server.files)
    except LedgerMoved as error:
        return fault(ABOUT, str(error), "see 'Moving a ledger' in docs/postgresql.md"), False
    except DataDirectoryError as error:
        return fault(ABOUT, str(error), "stop the server and restore a back-up into a new directory"), False
    words = fault_of(fit, directory, found=found)
    return None if words is None else fault(ABOUT, words, remedy_of(fit, directory)), fit is Fit.WITHOUT_FILES


def _look(
    ledger: sqlite3.Connection, schema: int, directory: Path, config: Config, now: float, *, deep: bool
) -> list[Finding]:
    if schema > SCHEMA_VERSION:
        message = f"it is of schema {schema}, and this version of Slackwater knows {SCHEMA_VERSION}"
        return [fault(ABOUT, message, "use the version that wrote it, or a newer one")]
    trouble = [row[0] for row in ledger.execute("PRAGMA quick_check(3)") if row[0] != "ok"]
    if trouble:
        return [fault(ABOUT, f"it is damaged: {'; '.join(trouble)}", "stop the server and restore a back-up")]
    found = [ok(ABOUT, f"sound, of schema {schema}")]
    if schema < SCHEMA_VERSION:
        if schema == 0:
            return [note(ABOUT, "it is empty; the first start fills it"), *_keys(config, directory, stored=0)]
        found.append(
            note(
                ABOUT,
                f"the next start brings it from schema {schema} to {SCHEMA_VERSION}",
                "make a back-up before that",
            )
        )
    found += byte_findings(
        directory,
        config,
        schema=schema,
        rows=lambda query: ledger.execute(query).fetchall(),
        named=lambda: named_in(ledger, schema),
        deep=deep,
    )
    found += growth_findings(ledger, directory, now)
    newest = ledger.execute(
        "SELECT max(at) FROM (SELECT max(created_at) AS at FROM file UNION ALL SELECT max(created_at) FROM batch)"
    ).fetchone()[0]
    if newest is not None and newest > now + SECONDS_AHEAD_MAX:
        found.append(
            fault(
                "clock", f"the ledger has entries {newest - now:,.0f} s from now", "set the clock; windows depend on it"
            )
        )
    found += sealed_findings(config, schema=schema, rows=lambda query: ledger.execute(query).fetchall())
    stored = ledger.execute("SELECT count(*) FROM api_key").fetchone()[0] if schema >= 6 else 0
    return [*found, *_keys(config, directory, stored=stored), *(_webhooks(ledger, config) if schema >= 7 else [])]


def _keys(config: Config, directory: Path, *, stored: int) -> list[Finding]:
    host, about = config.server.host, "keys"
    count = stored + len(config.api_keys)
    if count or config.oidc.issuers:
        issuers = len(config.oidc.issuers)
        keys = f"one of {count} keys" if count > 1 else "the one key that there is" if count else ""
        tokens = f"a token of one of {issuers} issuers" if issuers > 1 else "a token of the issuer" if issuers else ""
        return [ok(about, f"callers need {' or '.join(filter(None, (keys, tokens)))}")]
    # In a directory whose ledger is in a database it would make another one.
    where = "--config FILE, with this configuration" if config.database else f"--data {directory}"
    make = f"make some: slackwater keys create {where}"
    if host in LOOPBACK:
        return [note(about, "there are none: whoever is on this machine may call", make)]
    return [fault(about, f"there are none, and {host} is open to others; the server would not start", make)]


def _webhooks(ledger: sqlite3.Connection, config: Config) -> list[Finding]:
    about = "webhooks"
    failing, disabled = ledger.execute(
        "SELECT count(*) FILTER (WHERE failures > 0 AND disabled_at IS NULL), count(disabled_at) FROM webhook_endpoint"
    ).fetchone()
    (waiting,) = ledger.execute("SELECT count(*) FROM webhook_delivery WHERE state = 'pending'").fetchone()
    if waiting and not config.webhooks.enabled:
        return [
            warning(about, f"{waiting} deliveries wait, and webhooks are turned off", "set [webhooks] enabled = true")
        ]
    if failing or disabled:
        message = f"{failing} endpoints fail, {disabled} are disabled, {waiting} deliveries wait"
        return [warning(about, message, "see GET /v1/webhook_endpoints of each resource for why")]
    return [ok(about, "no endpoint fails")] if config.webhooks.enabled else []
