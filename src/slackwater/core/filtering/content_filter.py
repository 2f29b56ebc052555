"""What a content filter decides and says: severities against thresholds, in the shape that Azure's clients read (spec 8.3).

Before: the texts of a request or an answer (filtered_bodies), the blocklists, the classifier's severities. After: the
dispatcher, which sends or withholds. Nothing is invented here: a category that nobody looked at is not spoken of.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum, StrEnum
from typing import Any

import msgspec
from msgspec import Struct

# Part of Azure's wording: clients are known to look for its beginning (spec 8.3).
BLOCKED_MESSAGE = (
    "The response was filtered due to the prompt triggering the content management policy of this deployment. "
    "Please modify your prompt and retry."
)
UNCHECKED_MESSAGE = "The content filter was not available, and this text was not classified."
UNREADABLE_MESSAGE = (
    "This deployment has a content filter, which reads text. Send text instead of token ids, in valid Unicode."
)


class Severity(IntEnum):
    """How bad a text is in one category."""

    SAFE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3

    @property
    def word(self) -> str:
        """As it is written in annotations."""
        return self.name.lower()


class Category(StrEnum):
    """What a classifier looks for."""

    HATE = "hate"
    SELF_HARM = "self_harm"
    SEXUAL = "sexual"
    VIOLENCE = "violence"


Severities = Mapping[Category, Severity]


class Threshold(Struct, frozen=True, kw_only=True):
    """From which severity on a category is acted on; one that does not block only annotates."""

    severity: Severity = Severity.MEDIUM
    blocking: bool = True


class Policy(Struct, frozen=True, kw_only=True):
    """A named content filter. `fails_open` lets pass what the classifier could not judge."""

    name: str
    thresholds: Mapping[Category, Threshold]
    prompts: bool = True
    completions: bool = True
    fails_open: bool = False


class Blocklist(Struct, frozen=True, kw_only=True):
    """A named list as an operator wrote it. One that does not block only annotates."""

    name: str
    terms: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    blocking: bool = True


class Findings(Struct, frozen=True):
    """What was found in one text: the annotations, and whether it must not pass."""

    annotations: dict[str, Any]
    filtered: bool = False


def findings(
    policy: Policy, *, lists: bool, tripped: Sequence[Blocklist], severities: Severities | None, unchecked: bool = False
) -> Findings:
    """The verdict on one text. `lists`: whether blocklists were looked at; `unchecked`: whether the classifier failed."""
    annotations: dict[str, Any] = {}
    filtered = any(blocklist.blocking for blocklist in tripped)
    if lists:
        details = [{"filtered": blocklist.blocking, "id": blocklist.name} for blocklist in tripped]
        annotations["custom_blocklists"] = {"details": details, "filtered": filtered}
    if unchecked:
        annotations["error"] = {"code": "content_filter_error", "message": UNCHECKED_MESSAGE}
    for category, severity in sorted((severities or {}).items()):
        threshold = policy.thresholds.get(category, Threshold())
        over = threshold.blocking and severity >= threshold.severity
        filtered = filtered or over
        annotations[category.value] = {"filtered": over, "severity": severity.word}
    return Findings(annotations, filtered)


def severity_of(score: float, *, low: float, medium: float, high: float) -> Severity:
    """The severity that a score from 0 to 1 stands for; each bound is where its severity begins."""
    if score >= high:
        return Severity.HIGH
    if score >= medium:
        return Severity.MEDIUM
    return Severity.LOW if score >= low else Severity.SAFE


def blocked_body(found: Findings) -> bytes:
    """The body of the 400 that a blocked prompt is answered with (spec 8.3)."""
    return msgspec.json.encode(
        {
            "error": {
                "message": BLOCKED_MESSAGE,
                "type": None,
                "param": "prompt",
                "code": "content_filter",
                "status": 400,
                "innererror": {
                    "code": "ResponsibleAIPolicyViolation",
                    "content_filter_result": found.annotations,
                },
            }
        }
    )


def unreadable_body() -> bytes:
    """The body of the 400 for a prompt that has no text to look at, such as token ids: it must not slip through."""
    error = {
        "message": UNREADABLE_MESSAGE,
        "type": "invalid_request_error",
        "param": "prompt",
        "code": "content_filter_needs_text",
    }
    return msgspec.json.encode({"error": error})
