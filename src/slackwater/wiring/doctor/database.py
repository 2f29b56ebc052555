"""The ledger where it is a database: whether it answers, is ours, keeps what it is told, and how it is reached."""

from pathlib import Path

from slackwater.adapters.sql.identity import ServerFound
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.config import Config
from slackwater.core.errors import DataDirectoryError, StorageTrouble
from slackwater.core.masking import shown_url
from slackwater.core.members import UNTIL_SECONDS
from slackwater.wiring.belonging import REMEDY, fault_of, look
from slackwater.wiring.doctor.finding import Finding, fault, note, ok, warning

ABOUT, MEMBERS = "ledger", "members"


def database_findings(directory: Path, config: Config) -> tuple[list[Finding], int]:
    """What is to be said of it, and how many keys are in it. Changes nothing."""
    where = shown_url(config.database)
    try:
        fit, found, _ = look(directory, config.database)
        about = SqlLedger.server_of(config.database)
    except StorageTrouble as error:
        known = ";" in str(error)
        hint = "see docs/postgresql.md" if known else "start PostgreSQL, or correct [server] database"
        return [fault(ABOUT, f"{where}: {error}", hint)], 0
    except DataDirectoryError as error:
        return [fault(ABOUT, str(error), "name another database or data directory; see docs/postgresql.md")], 0
    findings = [ok(ABOUT, f"{where} answers: PostgreSQL {about.version}, {'over TLS' if about.tls else 'without TLS'}")]
    if about.remote and not about.tls:
        findings.append(
            warning(ABOUT, "passwords and results go over the network unencrypted", "add sslmode=verify-full")
        )
    if about.superuser:
        findings.append(
            warning(ABOUT, "its role may do everything in this database server", "use a role with few rights")
        )
    for setting in about.careless:
        findings.append(
            fault(ABOUT, f"PostgreSQL has {setting} = off: a power cut takes what was kept", f"turn {setting} on")
        )
    words = fault_of(fit, directory, config.database)
    if words is not None:
        return [*findings, fault(ABOUT, words, REMEDY.format(data=directory))], 0
    if found.empty:
        return [*findings, note(ABOUT, "there is no schema yet; the first start makes it")], 0
    if found.schema > SCHEMA_VERSION:
        message = f"it is of schema {found.schema}, and this version of Slackwater knows {SCHEMA_VERSION}"
        return [*findings, fault(ABOUT, message, "use the version that wrote it, or a newer one")], 0
    if found.schema < SCHEMA_VERSION:
        message = f"the next start brings it from schema {found.schema} to {SCHEMA_VERSION}"
        return [*findings, note(ABOUT, message, "make a back-up before that")], about.keys
    return [*findings, ok(ABOUT, f"of schema {found.schema}"), *_members(about)], about.keys


def _members(about: ServerFound) -> list[Finding]:
    """Who works with it."""
    if not about.members:
        return [note(MEMBERS, "no server works with the ledger at the moment")]
    living = [each for each in about.members if not each.dead and each.until >= about.now]
    said = ", ".join(
        f"{each.id} on {each.host} (version {each.version}, for {_lasting(about.now - each.started_at)})"
        for each in living
    )
    count = f"{len(living)} servers work" if len(living) != 1 else "1 server works"
    findings = [ok(MEMBERS, f"{count} with the ledger: {said}")] if living else []
    for each in about.members:
        if each not in living:
            message = (
                f"{each.id} on {each.host} has said nothing for {_lasting(about.now - each.until + UNTIL_SECONDS)}"
            )
            findings.append(warning(MEMBERS, message, "what it had in hand is freed by the next server that looks"))
    return findings


def _lasting(seconds: float) -> str:
    hours, minutes = divmod(int(max(0.0, seconds)) // 60, 60)
    return f"{hours} h" if hours else f"{minutes} min" if minutes else f"{max(0, int(seconds))} s"
