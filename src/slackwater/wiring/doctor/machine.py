"""The machine: how many files a server may open, where it meets others, and whether its clock is right."""

import resource
from collections.abc import Mapping
from pathlib import Path

from slackwater.config import Config
from slackwater.wiring.checks import unheard_peers
from slackwater.wiring.doctor.finding import Finding, fault, ok, warning

# What a server has open besides its lanes and whoever calls it: the ledger, logs of running batches, blobs, webhooks.
FILES_BESIDES = 256
CLOCK_SECONDS_MAX = 5.0
CLOCK_SECONDS_FAULT = 60.0


def limit_findings(config: Config, holder: int | None) -> list[Finding]:
    """Whether there may be as many open files as there are lanes. Asked of a running server, where there is one."""
    about = "open files"
    soft = _limit_of(holder) if holder else None
    whose = "the server" if soft is not None else "this user"
    if soft is None:
        # A server takes all that it may when it starts.
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    needed = FILES_BESIDES + sum(
        backend.most for deployment in config.deployments for backend in deployment.backends if backend.url
    )
    if soft != resource.RLIM_INFINITY and soft < needed:
        message = f"{whose} may open {soft:,}, and the lanes of all backends need {needed:,}"
        return [fault(about, message, f"raise the limit (ulimit -n {needed}, or LimitNOFILE={needed} in the unit)")]
    return [ok(about, f"{whose} may open {soft:,}; {needed:,} are needed")]


def peer_findings(config: Config) -> list[Finding]:
    """Whether other servers on this machine can be heard where the configuration says that they meet."""
    meeting = config.server.peers
    if not meeting:
        return []
    if unheard := unheard_peers(config):
        return [warning("peers", unheard, f"let this user write to {meeting}; see docs/pacing.md")]
    return [ok("peers", f"servers that share an engine can meet in {meeting}")]


def _limit_of(pid: int) -> int | None:
    try:
        lines = Path(f"/proc/{pid}/limits").read_text("utf-8").splitlines()
    except OSError:
        return None
    values = next((line.split() for line in lines if line.startswith("Max open files")), None)
    return int(values[3]) if values is not None and values[3].isdigit() else None


def clock_findings(dates: Mapping[str, float], *, now: float) -> list[Finding]:
    """`dates`: how many seconds the clock of a backend is ahead of ours, by its URL. One that differs may be wrong itself."""
    about = "clock"
    if not dates:
        return []
    url, ahead = min(dates.items(), key=lambda each: abs(each[1]))
    if abs(ahead) <= CLOCK_SECONDS_MAX:
        return [ok(about, f"as at {url}")]
    side = "behind" if ahead > 0 else "ahead of"
    message = f"it is {abs(ahead):,.0f} s {side} the one of {url}, and of every other backend"
    make = fault if abs(ahead) > CLOCK_SECONDS_FAULT else warning
    return [make(about, message, "set it, best with NTP: completion windows and tokens depend on it")]
