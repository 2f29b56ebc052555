"""`[[content_filters]]`: what an operator can choose about content filters, and how it is checked."""

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct


class BlocklistConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[[content_filters.blocklists]]`: words that are not to be said."""

    name: str
    """What annotations call it."""
    terms: list[str] = msgspec.field(default_factory=list)
    """Words and phrases. Case, width and invisible characters do not matter; where a script has spaces, whole words only."""
    file: str | None = None
    """More terms: a UTF-8 file, found from where the configuration lies, one per line; lines that begin with `#` do not count."""
    patterns: list[str] = msgspec.field(default_factory=list)
    """Regular expressions as RE2 has them, such as `(?i)\\bproject-\\d{4}\\b`."""
    action: str = "block"
    """`block`, or `annotate` to only say so."""


class CategoryConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`categories = { hate = { ... } }`: one of `hate`, `self_harm`, `sexual`, `violence`."""

    severity: str = "medium"
    """From which severity on: `low`, `medium` or `high`."""
    action: str = "block"
    """`block`, or `annotate` to only say so."""


class ScoresConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`scores = { ... }` of a classifier: where each severity begins, for moderations with scores from 0 to 1."""

    low: float = 0.2
    """Low begins here."""
    medium: float = 0.5
    """Medium begins here; also whatever the model itself flags."""
    high: float = 0.8
    """High begins here."""


class ClassifierConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[content_filters.classifier]`: a server that says how bad a text is."""

    url: str
    """Base URL up to where `/moderations` or `/chat/completions` follows, such as `http://127.0.0.1:8001/v1`."""
    kind: str = "moderations"
    """`moderations` for OpenAI's API, or `guard` for a chat model that answers `safe` or `unsafe`, such as Llama Guard."""
    model: str | None = None
    """Its model; a guard needs one."""
    api_key_env: str | None = None
    """Environment variable that holds this server's API key."""
    concurrency: int = 32
    """Requests in flight at once."""
    timeout_seconds: float = 30.0
    """Time for one answer."""
    attempts: int = 5
    """Answers without a judgement that one text may use up before its request fails. Waiting for a busy server is not counted."""
    scores: ScoresConfig = ScoresConfig()
    """Where severities begin."""
    codes: dict[str, str] = msgspec.field(default_factory=dict)
    """Codes of a guard besides Llama Guard's, and the category that each is, such as `{ S2 = "violence" }`."""


class ContentFilterConfig(Struct, frozen=True, kw_only=True):
    """`[[content_filters]]`: a policy that deployments name with `rai_policy_name`."""

    name: str
    """What deployments call it."""
    on: list[str] = msgspec.field(default_factory=lambda: ["prompt", "completion"])
    """What is looked at: `prompt`, `completion`, or both."""
    blocklists: list[BlocklistConfig] = msgspec.field(default_factory=list)
    """Words that are not to be said."""
    classifier: ClassifierConfig | None = None
    """A server that says how bad a text is."""
    categories: dict[str, CategoryConfig] = msgspec.field(default_factory=dict)
    """What to do with its judgement; a category that is not named blocks from medium severity on."""
    when_down: str = "closed"
    """While the classifier is down: `closed` lets requests wait, `open` lets texts pass unclassified, and says so."""


CATEGORIES = ("hate", "self_harm", "sexual", "violence")
SEVERITIES = ("low", "medium", "high")
ACTIONS = ("block", "annotate")


def filters_of(
    raw: object, section: Callable[..., ContentFilterConfig | None], faults: list[str]
) -> list[ContentFilterConfig]:
    """The filters of a configuration; `section` reads one struct out of one table."""
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        faults.append("content_filters: must be written as [[content_filters]] sections")
        return []
    read = [section(entry, ContentFilterConfig, _called(entry, number), faults) for number, entry in enumerate(raw, 1)]
    return [content_filter for content_filter in read if content_filter is not None]


def _called(entry: dict[str, Any], number: int) -> str:
    return f"content filter '{entry['name']}'" if isinstance(entry.get("name"), str) else f"content filter {number}"


def with_terms(config: ContentFilterConfig, folder: Path, faults: list[str]) -> ContentFilterConfig:
    """The filter with the terms of its files."""
    read = []
    for blocklist in config.blocklists:
        if blocklist.file is not None:
            where = f"{place(config)}: blocklist '{blocklist.name}': file '{blocklist.file}'"
            try:
                lines = (folder / blocklist.file).read_text("utf-8-sig").splitlines()
            except OSError as error:
                faults.append(f"{where} cannot be read: {error.strerror}")
                lines = []
            except UnicodeDecodeError:
                faults.append(f"{where} is not UTF-8; save it as UTF-8")
                lines = []
            terms = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
            blocklist = msgspec.structs.replace(blocklist, terms=[*blocklist.terms, *terms])
        read.append(blocklist)
    return msgspec.structs.replace(config, blocklists=read)


def place(config: ContentFilterConfig) -> str:
    """How faults name a filter."""
    return f"content filter '{config.name}'"


def check_filters(filters: Sequence[ContentFilterConfig], faults: list[str]) -> None:
    """Rules between fields, after the terms are there."""
    for content_filter in filters:
        _check(content_filter, faults)


def _check(config: ContentFilterConfig, faults: list[str]) -> None:
    where = place(config)
    if not config.on or not set(config.on) <= {"prompt", "completion"}:
        faults.append(f"{where}: on must be 'prompt', 'completion' or both")
    if config.when_down not in ("open", "closed"):
        faults.append(f"{where}: when_down must be 'open' or 'closed'")
    if not config.blocklists and config.classifier is None:
        faults.append(f"{where}: looks for nothing; give it blocklists or a classifier")
    for name, category in config.categories.items():
        if name not in CATEGORIES:
            faults.append(f"{where}: there is no category '{name}'; known are {', '.join(CATEGORIES)}")
        if category.severity not in SEVERITIES or category.action not in ACTIONS:
            faults.append(f"{where}: {name}: severity is 'low', 'medium' or 'high', and action 'block' or 'annotate'")
    if config.categories and config.classifier is None:
        faults.append(f"{where}: categories need a classifier")
    names = [blocklist.name for blocklist in config.blocklists]
    if config.blocklists and not (find_spec("daachorse") and find_spec("re2")):
        faults.append(f"{where}: blocklists need two more libraries; in a checkout: pip install '.[blocklists]'")
        return
    for blocklist in config.blocklists:
        _check_blocklist(blocklist, f"{where}: blocklist '{blocklist.name}'", faults)
        if names.count(blocklist.name) > 1:
            faults.append(f"{where}: blocklist '{blocklist.name}': the name is used twice; names must be unique")
    if config.classifier is not None:
        _check_classifier(config.classifier, f"{where}: classifier", faults)


def _check_blocklist(blocklist: BlocklistConfig, where: str, faults: list[str]) -> None:
    # Only a service with blocklists has to have their libraries.
    from slackwater.core.filtering.blocklists import fold, searcher

    if blocklist.action not in ACTIONS:
        faults.append(f"{where}: action must be 'block' or 'annotate'")
    if not blocklist.terms and not blocklist.patterns and blocklist.file is None:
        faults.append(f"{where}: is empty; give it terms, a file or patterns")
    if any(not fold(term).strip() for term in blocklist.terms):
        faults.append(f"{where}: a term has nothing that can be seen")
    for pattern in blocklist.patterns:
        try:
            found_in = searcher(pattern)
        except ValueError as error:
            faults.append(f"{where}: pattern '{pattern}' is not a regular expression that RE2 knows: {error}")
        else:
            if found_in(""):
                faults.append(f"{where}: pattern '{pattern}' is found in every text")


def _check_classifier(classifier: ClassifierConfig, where: str, faults: list[str]) -> None:
    if classifier.kind not in ("moderations", "guard"):
        faults.append(f"{where}: kind must be 'moderations' or 'guard'")
    if classifier.kind == "guard" and not classifier.model:
        faults.append(f"{where}: a guard needs a model")
    if not 1 <= classifier.concurrency <= 10_000:
        faults.append(f"{where}: concurrency must be between 1 and 10000")
    if classifier.attempts < 1 or classifier.timeout_seconds <= 0:
        faults.append(f"{where}: attempts must be at least 1, and timeout_seconds more than 0")
    scores = classifier.scores
    if not 0 < scores.low <= scores.medium <= scores.high <= 1:
        faults.append(f"{where}: scores must rise from low to high, between 0 and 1")
    for code, name in classifier.codes.items():
        if name not in CATEGORIES:
            faults.append(
                f"{where}: codes: there is no category '{name}' for {code}; known are {', '.join(CATEGORIES)}"
            )
