"""What an examination finds: one line each, with what to do about it."""

from enum import StrEnum

from msgspec import Struct

from slackwater.core.masking import masked


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    FAULT = "fault"
    """The service would not start, or not do its work."""


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at."""

    level: Level
    about: str
    message: str
    fix: str = ""


def ok(about: str, message: str) -> Finding:
    return Finding(level=Level.OK, about=about, message=masked(message))


def note(about: str, message: str, fix: str = "") -> Finding:
    return Finding(level=Level.NOTE, about=about, message=masked(message), fix=fix)


def warning(about: str, message: str, fix: str) -> Finding:
    return Finding(level=Level.WARNING, about=about, message=masked(message), fix=fix)


def fault(about: str, message: str, fix: str) -> Finding:
    return Finding(level=Level.FAULT, about=about, message=masked(message), fix=fix)
