"""The ledger where it is a database: whether it answers, is ours, keeps what it is told, and how it is reached."""

from pathlib import Path

from slackwater.adapters.backup.store import named_in
from slackwater.adapters.sql.identity import MEMBERS_SINCE, ServerFound
from slackwater.adapters.sql.ledger import SqlLedger
from slackwater.adapters.sql.sqlite import SCHEMA_VERSION
from slackwater.config import Config
from slackwater.core.errors import DataDirectoryError, StorageTrouble
from slackwater.core.files.belonging import Fit
from slackwater.core.masking import shown_url
from slackwater.wiring.belonging import fault_of, look, remedy_of
from slackwater.wiring.doctor.bytes import byte_findings
from slackwater.wiring.doctor.finding import Finding, fault, note, ok, warning
from slackwater.wiring.doctor.members import member_findings
from slackwater.wiring.doctor.sealed import sealed_findings

ABOUT = "ledger"
# docs/postgresql.md, "Connections".
CONNECTIONS_OF_ONE = 9


def database_findings(directory: Path, config: Config, *, deep: bool = False) -> tuple[list[Finding], int]:
    """What is to be said of it and of the files that it names, and how many keys are in it. Changes nothing."""
    where = shown_url(config.database)
    try:
        fit, found, _ = look(directory, config.database, files=config.server.files)
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
            warning(
                ABOUT,
                "passwords and results go over the network unencrypted",
                "add sslmode=verify-full, and sslrootcert=FILE with its authority (system, for a public one)",
            )
        )
    if about.superuser:
        findings.append(
            warning(ABOUT, "its role may do everything in this database server", "use a role with few rights")
        )
    if about.standby:
        findings.append(
            fault(ABOUT, "it is a standby, which takes no writes", "name the primary, or all hosts: it is found then")
        )
    if about.pooled:
        findings.append(
            fault(
                ABOUT,
                "a connection pooler in transaction mode stands before it, and a server needs sessions of its own",
                "set it to session mode (pool_mode = session in PgBouncer), or name the database itself",
            )
        )
    for setting, milliseconds in about.hurried:
        findings.append(
            warning(
                ABOUT,
                f"PostgreSQL has {setting} = {milliseconds} ms for this role: that ends what servers do, again and again",
                f"ALTER ROLE ... SET {setting} = 0, or a larger number",
            )
        )
    for setting in about.careless:
        findings.append(
            fault(ABOUT, f"PostgreSQL has {setting} = off: a power cut takes what was kept", f"turn {setting} on")
        )
    words = fault_of(fit, directory, config.database, found=found)
    if words is not None:
        findings.append(fault(ABOUT, words, remedy_of(fit, directory, config.database)))
        if fit is not Fit.WITHOUT_FILES:
            return findings, 0
    if found.empty:
        return [*findings, note(ABOUT, "there is no schema yet; the first start makes it")], 0
    if found.schema > SCHEMA_VERSION:
        message = f"it is of schema {found.schema}, and this version of Slackwater knows {SCHEMA_VERSION}"
        return [*findings, fault(ABOUT, message, "use the version that wrote it, or a newer one")], 0
    if found.schema < SCHEMA_VERSION:
        message = f"the next start brings it from schema {found.schema} to {SCHEMA_VERSION}"
        members = member_findings(about, directory, config, found.mark) if found.schema >= MEMBERS_SINCE else []
        return [*findings, note(ABOUT, message, "make a back-up before that"), *members], about.keys
    members = member_findings(about, directory, config, found.mark)
    files = _files(directory, config, deep=deep)
    return [*findings, ok(ABOUT, f"of schema {found.schema}"), *files, *_connections(about), *members], about.keys


def _files(directory: Path, config: Config, *, deep: bool) -> list[Finding]:
    """Each question has a connection of its own: to read all files may take longer than one lives."""
    address = config.database
    try:
        keys = sealed_findings(
            config,
            schema=SCHEMA_VERSION,
            rows=lambda query: SqlLedger.asked_at(address, lambda db: db.execute(query).fetchall()),
        )
        return keys + byte_findings(
            directory,
            config,
            schema=SCHEMA_VERSION,
            rows=lambda query: SqlLedger.asked_at(address, lambda db: db.execute(query).fetchall()),
            named=lambda: SqlLedger.asked_at(address, lambda db: named_in(db, SCHEMA_VERSION)),
            deep=deep,
        )
    except StorageTrouble as error:
        return [fault("files", f"not looked at: {error}", "look again when the database is back")]


def _connections(about: ServerFound) -> list[Finding]:
    """Whether there is room for the members, and for one more: at an upgrade the new one is beside the old."""
    members = sum(not each.dead for each in about.cluster.members)
    needed, most, others = (members + 1) * CONNECTIONS_OF_ONE, about.connections.most, about.connections.others
    told = f"PostgreSQL takes {most} of the role of the ledger, and others have {others}"
    those = (
        f"{members} {'server or worker' if members == 1 else 'servers and workers'} and one more"
        if members
        else "a first server or worker"
    )
    need = f"{those} may need {needed}, {CONNECTIONS_OF_ONE} each" if members else f"{those} may need {needed}"
    if most - others < needed:
        return [
            warning("connections", f"{told}; {need}", "raise max_connections, or the limit of the role or the database")
        ]
    return [ok("connections", f"{told}; {need}")]
