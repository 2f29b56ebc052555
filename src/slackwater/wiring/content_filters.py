"""Content filters at work, and the classifiers that they ask."""

import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from slackwater.config import BackendConfig, ClassifierConfig, ContentFilterConfig
from slackwater.core.filtering.breaker import Breaker
from slackwater.core.filtering.content_filter import Blocklist, Category, Policy, Severity, Threshold
from slackwater.core.sending.judgement import RetryPolicy
from slackwater.ports import Classifier, Clock
from slackwater.wiring.backends import backend_of

if TYPE_CHECKING:
    from slackwater.pipeline.filtering.content_filter import ContentFilter


def content_filter_of(config: ContentFilterConfig, keys: Mapping[str, str], clock: Clock) -> "ContentFilter":
    """A content filter at work. Raises ConfigError for a classifier's url or key that the client refuses."""
    # Only a service with content filters pays for them.
    from slackwater.pipeline.filtering.content_filter import ContentFilter

    lists = [
        Blocklist(
            name=each.name,
            terms=tuple(each.terms),
            patterns=tuple(each.patterns),
            blocking=each.action == "block",
        )
        for each in config.blocklists
    ]
    policy = Policy(
        name=config.name,
        thresholds={
            Category(name): Threshold(severity=Severity[each.severity.upper()], blocking=each.action == "block")
            for name, each in config.categories.items()
        },
        prompts="prompt" in config.on,
        completions="completion" in config.on,
        fails_open=config.when_down == "open",
    )
    blocklists = None
    if lists:
        from slackwater.core.filtering.blocklists import Blocklists

        blocklists = Blocklists(lists)
    classifier = None if config.classifier is None else classifier_of(config.classifier, keys, clock)
    return ContentFilter(
        policy,
        blocklists=blocklists,
        classifier=classifier,
        retry=RetryPolicy(attempts_max=1 if config.classifier is None else config.classifier.attempts),
        breaker=Breaker(),
        clock=clock,
        chance=random.random,
    )


def classifier_of(config: ClassifierConfig, keys: Mapping[str, str], clock: Clock) -> Classifier:
    """The client of a classifier: of any backend, for a path and an answer of its own. Raises ConfigError."""
    from slackwater.adapters.upstream.moderations_classifier import Bounds, GuardClassifier, ModerationsClassifier

    server = BackendConfig(
        url=config.url,
        concurrency=config.concurrency,
        first_byte_seconds=config.timeout_seconds,
        total_seconds=config.timeout_seconds,
    )
    backend = backend_of(server, key=keys.get(config.api_key_env or ""), clock=clock)
    if config.kind == "guard":
        codes = {code: Category(name) for code, name in config.codes.items()}
        return GuardClassifier(backend, model=config.model or "", codes=codes)
    scores = config.scores
    bounds = Bounds(low=scores.low, medium=scores.medium, high=scores.high)
    return ModerationsClassifier(backend, model=config.model, bounds=bounds)
