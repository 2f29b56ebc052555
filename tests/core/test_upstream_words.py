"""What an upstream says becomes a reason without what users have written, on one line, and still of use."""

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.evidence import REASON_LENGTH_MAX, evidence_of
from slackwater.core.sending.upstream_words import ECHO_LENGTH, plain, repeats

PROMPT = "Our patient Mara Lindqvist, born 1971, was told on Tuesday that the results are not good."
ASKED = json.dumps(
    {"model": "meta-llama/Llama-3.1-70B-Instruct", "messages": [{"role": "user", "content": PROMPT}]}
).encode()


def reason(message: str, *, status: int = 401, asked: bytes = ASKED, code: str | None = None) -> str:
    """The reason that is made of an error's message."""
    body = json.dumps({"error": {"message": message, "code": code}}).encode()
    return evidence_of(status, body, retry_after=None, asked=asked).reason


@pytest.mark.parametrize(
    "message",
    [
        "You exceeded your current quota, please check your plan and billing details.",
        "The model `meta-llama/Llama-3.1-70B-Instruct` does not exist.",
        "Rate limit reached for gpt-4o in organization org-abc on tokens per min (TPM): Limit 30000, Used 29900.",
        "Access denied due to invalid subscription key or wrong API endpoint.",
        "loc: ['body', 'messages', 0, 'content'] field required",
    ],
)
def test_what_operators_need_stays(message: str) -> None:
    """Word for word, a model's name included although the request has it, too."""
    assert message in reason(message)


@pytest.mark.parametrize(
    "message",
    [
        f"Invalid value: '{PROMPT}'",
        f'cannot handle "{PROMPT}" at the moment',
        f"1 validation error: type=value_error, input_value={PROMPT!r}, input_type=str",
        f"[{{'type': 'missing', 'loc': ('body', 'x'), 'input': {{'model': 'm', 'messages': [{{'content': '{PROMPT}'}}]}}}}]",
        f"upstream refused: {PROMPT}",
        f"refused {ASKED.decode()}",
        PROMPT[10:60],
        f"no\n{PROMPT}\nplease",
    ],
)
@pytest.mark.parametrize("status", [401, 429, 500, 503])
def test_a_prompt_does_not_come_back(message: str, status: int) -> None:
    """However it is repeated: quoted, as a value, as the whole body, or bare."""
    said = reason(message, status=status)
    assert not any(word in said for word in ("Mara", "Lindqvist", "patient", "1971", "results"))
    assert said.startswith(f"status {status}")


def test_a_prompt_with_letters_of_its_own() -> None:
    """As the request writes them, or escaped."""
    prompt = "Größe und Maße der Löschübung"
    for ascii_only in (True, False):
        asked = json.dumps({"messages": [{"content": prompt}]}, ensure_ascii=ascii_only).encode()
        assert "Lösch" not in reason(f"refused: {prompt}", asked=asked)


def test_codes_stay() -> None:
    """They are the upstream's own, and say what is to be done."""
    assert reason(f"refused: {PROMPT}", code="content_filter_x", status=500).startswith(
        "status 500 (content_filter_x: its"
    )


@pytest.mark.parametrize("secret", ["sk-proj-abcdef123456", "Bearer abcdef123456789", "key-ABCDEF12345"])
def test_keys_are_cut_out(secret: str) -> None:
    """Some servers repeat what they were given."""
    said = reason(f"Incorrect API key provided: {secret}. You can find yours at https://example.com.")
    assert secret[-8:] not in said
    assert "Incorrect API key provided" in said


@given(st.text(max_size=2_000), st.integers(20, 400))
def test_always_one_short_line(text: str, length: int) -> None:
    """Whatever is said."""
    said = plain(text, length_max=length)
    assert len(said) <= length
    assert said.isprintable()
    assert plain(said, length_max=length) is not None


@given(st.text(string.ascii_lowercase + " ", min_size=2 * ECHO_LENGTH), st.integers(0, 100), st.text(max_size=50))
def test_what_is_long_enough_is_always_found(prompt: str, start: int, before: str) -> None:
    """Twice the length of a window, wherever it stands."""
    part = prompt[start % max(1, len(prompt) - 2 * ECHO_LENGTH + 1) :][: 2 * ECHO_LENGTH]
    asked = json.dumps({"messages": [{"content": prompt}]}).encode()
    if len(part) == 2 * ECHO_LENGTH and not part.isspace() and "  " not in part:
        assert repeats(before + part + "!", asked)


@given(st.text(max_size=500), st.integers(200, 599))
def test_reasons_have_a_bound(text: str, status: int) -> None:
    """With everything around them."""
    assert len(reason(text, status=status)) <= REASON_LENGTH_MAX
