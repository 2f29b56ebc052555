"""The process itself."""

from typing import Literal

from msgspec import Struct


class Health(Struct, frozen=True, kw_only=True):
    """The process answers."""

    status: Literal["ok"] = "ok"


class UnreadyReason(Struct, frozen=True, kw_only=True):
    """Why the service should not be given work at the moment."""

    code: str
    """`starting`, `stopping`, `ledger_not_writable`, `ledger_damaged`, `files_not_writable`, `clock_jumped`, `disk_space_low`,
    `stage_failing` or `stage_stuck`."""
    message: str


class Readiness(Struct, frozen=True, kw_only=True):
    """Whether the service should be given work."""

    status: Literal["ready", "unavailable"]
    reasons: list[UnreadyReason]
    """Empty where it is ready."""
    backends: dict[str, int]
    """How many backends are in each state (`ok`, `busy`, `refusing`, `blocked`, `down`, `paused`); none while it starts.

    They are no reason: whatever becomes of them, batches are taken and wait.
    """
