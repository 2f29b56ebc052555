"""Who works with a ledger on PostgreSQL: each member with what it holds, and what is wrong with them together."""

import time
from pathlib import Path

from slackwater.adapters.disk.announcements import Announcements
from slackwater.adapters.sql.identity import ServerFound
from slackwater.config import Config
from slackwater.config.checksums import checksums
from slackwater.core.files.belonging import Mark
from slackwater.core.watching.cluster import CLOCKS_SECONDS, MemberView, counted, lasting, setting_of
from slackwater.wiring.acquaintance import ONE_FOLDER
from slackwater.wiring.deployments import deployment_record
from slackwater.wiring.doctor.finding import Finding, fault, note, ok, warning
from slackwater.wiring.members_at import OWN_VERSION, members_in

ABOUT, TOGETHER = "members", "shared directory"


def member_findings(about: ServerFound, directory: Path, config: Config, mark: Mark | None) -> list[Finding]:
    """What is to be said of them."""
    keys = [deployment_record(each).key for each in config.deployments]
    found = members_in(about, deployments=keys)
    clock = _clock(about)
    if not found.views:
        return [*clock, note(ABOUT, "no server works with the ledger at the moment")]
    living = [each for each in found.views if each.state.there]
    count = f"{len(living)} servers and workers work" if len(living) != 1 else "1 server or worker works"
    said = "; ".join(_told(each, now=about.cluster.now) for each in living)
    return [
        *([ok(ABOUT, f"{count} with the ledger: {said}")] if living else []),
        *(warning(ABOUT, each.message, each.fix) for each in found.concerns),
        *_seen(living, directory),
        *_configured(living, config, mark),
        *clock,
    ]


def _told(view: MemberView, *, now: float) -> str:
    """A member on a line: what it is, for how long, how late, and what it holds."""
    member = view.member
    facts = [
        f"{member.kind} of version {member.version}",
        f"for {lasting(now - member.started_at)}",
        f"heard of {view.lag_seconds:.0f} s ago",
    ]
    facts += ["about to end"] if view.state.value == "leaving" else []
    facts += ["the one that watches"] if view.watching else []
    facts += [f"{counted(sum(view.shards.values()), 'shard')} in hand"] if view.shards else []
    facts += [f"{duty.value} {len(things)}" for duty, things in view.duties.items()]
    facts += [f"{counted(view.requests_out, 'request')} out"] if view.requests_out else []
    slots = sum(each.slots for each in view.engines)
    facts += [f"{counted(slots, 'slot')} of {counted(len(view.engines), 'engine')}"] if slots else []
    return f"{view.name} ({', '.join(facts)})"


def _seen(living: list[MemberView], directory: Path) -> list[Finding]:
    """Whether their words are seen here, and locked: only then it is the directory that they have."""
    words, found = Announcements(directory), []
    there = words.announced()
    for each in living:
        if each.member.id not in there:
            found.append(fault(TOGETHER, f"the word of {each.name} is not in {directory}", ONE_FOLDER))
        elif words.locked(each.member.id) is False:
            why = f"the lock of {each.name} is not seen in {directory}: a copy, or a file system with locks of each machine's own"
            found.append(fault(TOGETHER, why, ONE_FOLDER))
    if not found and living:
        return [ok(TOGETHER, f"the words of all servers and their locks are seen in {directory}")]
    return found


def _configured(living: list[MemberView], config: Config, mark: Mark | None) -> list[Finding]:
    """Whether members work with the configuration that was given. Those of another version have other checksums."""
    mine = checksums(config, "" if mark is None else mark.identity)
    findings = []
    for each in living:
        if not each.sections or each.member.version != OWN_VERSION:
            continue
        other = [name for name in sorted({*mine, *each.sections}) if mine.get(name, "") != each.sections.get(name, "")]
        if other:
            message = f"{each.name} works with another configuration than this one: {', '.join(map(setting_of, other))}"
            findings.append(warning(ABOUT, message, "start it again with this one, or examine with its own"))
    return findings


def _clock(about: ServerFound) -> list[Finding]:
    ahead = time.time() - about.cluster.now
    if abs(ahead) <= CLOCKS_SECONDS:
        return []
    way = "before" if ahead > 0 else "behind"
    return [
        warning(
            "clock",
            f"this machine's is {abs(ahead):.0f} s {way} the database's, by which windows, expiries and leases go",
            "let NTP set both",
        )
    ]
