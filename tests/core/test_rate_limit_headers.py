"""Rate limits as servers spell them. Where each spelling comes from: docs/rate-limits.md."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.asked_tokens import generated_max
from slackwater.core.sending.rate_limit_headers import DAY, MINUTE, RATE_LIMIT_HEADERS, Reading, read_rate_limits

# 2026-02-18T22:00:00Z
NOW = 1_771_452_000.0


def read(text: str) -> set[tuple[bool, float | None, float | None, float | None, float | None]]:
    """The readings of headers that are written as in an answer."""
    lines = [line.split(":", 1) for line in text.strip().splitlines()]
    headers = {name.strip().lower().encode(): value.strip().encode() for name, value in lines}
    return {
        (each.tokens, each.period, each.limit, each.remaining, each.reset)
        for each in read_rate_limits(headers, now=NOW)
    }


def test_openai() -> None:
    """Limit, what remains and a duration to the reset, of requests and of tokens."""
    assert read(
        """x-ratelimit-limit-requests: 5000
        x-ratelimit-limit-tokens: 160000
        x-ratelimit-remaining-requests: 4999
        x-ratelimit-remaining-tokens: 159976
        x-ratelimit-reset-requests: 12ms
        x-ratelimit-reset-tokens: 6m0s"""
    ) == {(False, None, 5000, 4999, 0.012), (True, None, 160000, 159976, 360.0)}


def test_azure() -> None:
    """What remains alone; a limit of -1 and a reset of 0 mean nothing, and neither does what remains of such a limit."""
    assert read("x-ratelimit-remaining-requests: 79\nx-ratelimit-remaining-tokens: 61353") == {
        (False, None, None, 79, None),
        (True, None, None, 61353, None),
    }
    assert read("x-ratelimit-limit-tokens: -1\nx-ratelimit-remaining-tokens: -1\nx-ratelimit-reset-tokens: 0") == set()
    assert read("x-ratelimit-remaining-tokens: 0\nx-rate-limit-reset-tokens: 55") == {(True, None, None, 0, 55)}


def test_mistral() -> None:
    """Windows are in the names; the older names speak of tokens only."""
    assert read(
        """x-ratelimit-limit-tokens-minute: 5000000
        x-ratelimit-remaining-tokens-minute: 4999911
        x-ratelimit-tokens-query-cost: 52
        x-ratelimit-limit-req-minute: 720
        x-ratelimit-remaining-req-minute: 717"""
    ) == {(True, MINUTE, 5000000, 4999911, None), (False, MINUTE, 720, 717, None)}
    assert read("ratelimitbysize-limit: 500000\nratelimitbysize-remaining: 499900\nratelimitbysize-reset: 28") == {
        (True, MINUTE, 500000, 499900, 28)
    }
    assert read("X-RateLimitBySize-Limit-Day: 9\nX-RateLimitBySize-Remaining-Day: 7") == {(True, DAY, 9, 7, None)}


def test_anthropic() -> None:
    """Resets are moments."""
    assert read(
        """anthropic-ratelimit-tokens-limit: 1000
        anthropic-ratelimit-tokens-remaining: 250
        anthropic-ratelimit-tokens-reset: 2026-02-18T22:05:00Z"""
    ) == {(True, None, 1000, 250, 300.0)}


def test_a_gateway() -> None:
    """What it says itself counts before what it passes on."""
    passed = "llm_provider-x-ratelimit-limit-tokens: 100\nllm_provider-x-ratelimit-remaining-tokens: 50"
    assert read(passed) == {(True, None, 100, 50, None)}
    own = "\nx-ratelimit-limit-tokens: 10\nx-ratelimit-remaining-tokens: 5"
    assert read(passed + own) == {(True, None, 10, 5, None)}


def test_others() -> None:
    """Requests without a unit in the name, moments in milliseconds, the drafts of the IETF."""
    assert read("X-RateLimit-Limit: 20\nX-RateLimit-Remaining: 7\nX-RateLimit-Reset: 1771452060000") == {
        (False, None, 20, 7, 60.0)
    }
    assert read("RateLimit-Limit: 100, 100;w=60\nRateLimit-Remaining: 50\nRateLimit-Reset: 30") == {
        (False, None, 100, 50, 30)
    }
    assert read('RateLimit-Policy: "default";q=100;w=60\nRateLimit: "default";r=50;t=30') == {(False, 60, 100, 50, 30)}
    assert read('RateLimit-Policy: "t";q=9;w=60;qu="tokens"\nRateLimit: "t";r=5;t=30') == {(True, 60, 9, 5, 30)}
    assert read('RateLimit-Policy: "t";q=9;w=60;qu="content-bytes"\nRateLimit: "t";r=5;t=30') == set()


@pytest.mark.parametrize(
    "value", ["", "soon", "-5", "1e9", "NaN", "inf", "99999999999999999999", "0x10", "١٢", "1_0", "9" * 400]
)
def test_what_is_no_number_was_not_said(value: str) -> None:
    """Words, signs, exponents, other digits and numbers beyond all limits."""
    headers = {b"x-ratelimit-remaining-tokens": value.encode(), b"x-ratelimit-limit-tokens": value.encode()}
    assert read_rate_limits(headers, now=NOW) == ()


@pytest.mark.parametrize("reset", ["0", "-1", "1771451000", "2020-01-01T00:00:00Z", "tomorrow", "", "5m3", "9999999d"])
def test_a_reset_in_the_past_or_in_words_was_not_said(reset: str) -> None:
    """What remains counts all the same."""
    assert read(f"x-ratelimit-remaining-tokens: 5\nx-ratelimit-reset-tokens: {reset}") == {(True, None, None, 5, None)}


@given(st.dictionaries(st.sampled_from(sorted(RATE_LIMIT_HEADERS)), st.binary(max_size=60), max_size=6))
def test_whatever_a_stranger_writes(headers: dict[bytes, bytes]) -> None:
    """It is values in range, or nothing."""
    for reading in read_rate_limits(headers, now=NOW):
        assert isinstance(reading, Reading)
        assert reading.limit is None or 0 < reading.limit <= 1e15
        assert reading.remaining is None or 0 <= reading.remaining <= 1e15
        assert reading.reset is None or 0 < reading.reset <= 31 * DAY
        assert reading.period is None or reading.period > 0


def test_what_a_request_may_generate() -> None:
    """All three names, times the choices; what a user says in a text is not it."""
    assert generated_max(b'{"max_tokens": 16, "messages": []}') == 16
    assert generated_max(b'{"max_completion_tokens":100,"n":3}') == 300
    assert generated_max(b'{"max_output_tokens" : 7}') == 7
    assert generated_max(b'{"messages":[{"content":"\\"max_tokens\\": 5"}]}') is None
    assert generated_max(b'{"max_tokens": 1e3}') is None
