"""Which requests can be cut, what a slice is, and when there is none: the text before a cut is what the request begins with."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.answer_kinds import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from slackwater.core.sending.slices import WORD_CHARS, Cuts, cuts_of
from slackwater.core.sending.slicing import (
    EXPECTED_TOKENS,
    SLICES_MAX,
    WHOLE_SECONDS,
    CacheEffect,
    SliceRefusals,
    next_cut,
    slice_of,
)

LONG = "the quick brown fox jumps over the lazy dog " * 20


def chat(*messages: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"model": "m", "messages": messages, **more}).encode()


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def cut(body: bytes, path: str = CHAT) -> Cuts:
    found = cuts_of(body, path)
    assert found is not None
    return found


def text_of(body: bytes) -> str:
    """All text of a request, in its order."""
    said = json.loads(body)
    if "prompt" in said:
        return str(said["prompt"])
    texts = []
    for message in said["messages"]:
        content = message.get("content") or ""
        texts.append(content if isinstance(content, str) else "".join(part["text"] for part in content))
    return "".join(texts)


def test_a_slice_of_a_chat() -> None:
    """Less text, one token for the answer, and every other value as it was, to the byte."""
    body = chat(user(LONG), temperature=0.5, max_tokens=300, tools=[{"type": "function"}], cache_salt="s")
    body = body.replace(b"0.5", b"0.50")
    sliced, chars = cut(body).slice(100)
    said = json.loads(sliced)
    assert said["messages"] == [user(LONG[:chars])]
    assert said.pop("max_tokens") == 1
    assert {key: said[key] for key in ("model", "tools", "cache_salt")} == {
        "model": "m",
        "tools": [{"type": "function"}],
        "cache_salt": "s",
    }
    assert b'"temperature":0.50' in sliced.replace(b" ", b"")


def test_words_stay_whole() -> None:
    """A word is read as it stands: a slice ends where one does. Text without any blank is cut where it is."""
    _, chars = cut(chat(user(LONG))).slice(102)
    assert LONG[chars] == " "
    assert 102 - WORD_CHARS <= chars <= 102
    assert cut(chat(user("x" * 1000))).slice(300)[1] == 300


def test_what_comes_after_a_cut_is_not_there() -> None:
    """Messages before it are whole; the one that is cut is the last; it is known whose it is."""
    messages = ({"role": "system", "content": "Be kind."}, user(LONG), {"role": "assistant", "content": LONG})
    cuts = cut(chat(*messages))
    assert cuts.chars == len("Be kind.") + 2 * len(LONG)
    sliced, _ = cuts.slice(50)
    assert [each["role"] for each in json.loads(sliced)["messages"]] == ["system", "user"]
    assert (cuts.role(5), cuts.role(50), cuts.role(len(LONG) + 100)) == ("system", "user", "assistant")


def test_parts_of_text() -> None:
    """They are cut like a message that is all text."""
    parts = [{"type": "text", "text": "one "}, {"type": "text", "text": LONG, "cache_control": {"type": "ephemeral"}}]
    sliced, chars = cut(chat(user(parts))).slice(40)
    (message,) = json.loads(sliced)["messages"]
    assert [part["text"] for part in message["content"]] == ["one ", LONG[: chars - 4]]
    assert message["content"][1]["cache_control"] == {"type": "ephemeral"}


def test_a_prompt() -> None:
    """Of the older endpoint; several at once go whole."""
    body = json.dumps({"model": "m", "prompt": LONG, "n": 3, "logprobs": 2, "echo": True}).encode()
    cuts = cut(body, COMPLETIONS)
    sliced, chars = cuts.slice(60)
    assert json.loads(sliced) == {"model": "m", "prompt": LONG[:chars], "max_tokens": 1}
    assert cuts.role(60) == "prompt"
    for prompt in ([LONG, LONG], [1, 2, 3], "", None):
        assert cuts_of(json.dumps({"model": "m", "prompt": prompt}).encode(), COMPLETIONS) is None


@pytest.mark.parametrize(
    "body",
    [
        chat(user([{"type": "text", "text": LONG}, {"type": "image_url", "image_url": {"url": "data:"}}])),
        chat(user([{"type": "input_audio", "input_audio": {}}])),
        chat(user(LONG), kv_transfer_params={"do_remote_decode": True}),
        chat(user(LONG), truncate_prompt_tokens=100),
        chat(user(LONG), audio={"voice": "alloy"}),
        chat(user([{"type": "text", "text": 5}])),
        chat(user({"text": LONG})),
        chat(user(None)),
        chat(),
        json.dumps({"model": "m", "messages": LONG}).encode(),
        json.dumps({"model": "m", "messages": [LONG]}).encode(),
        b"[1]",
        b"",
    ],
)
def test_what_goes_whole(body: bytes) -> None:
    """Pictures and sound, prompts that are something else than their text from the beginning, and what is no prompt."""
    assert cuts_of(body, CHAT) is None


def test_other_endpoints_go_whole() -> None:
    """An embedding has no answer whose first token could be asked for."""
    for path in (EMBEDDINGS, RESPONSES):
        assert cuts_of(chat(user(LONG)), path) is None


TEXTS = st.text(max_size=200)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {
            "role": st.sampled_from(["system", "user", "assistant", "tool"]),
            "content": TEXTS | st.none() | st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": TEXTS})),
        }
    ),
    min_size=1,
    max_size=5,
)


@given(messages=MESSAGES, share=st.floats(0.01, 1.0))
def test_every_slice_is_what_its_request_begins_with(messages: list[dict[str, Any]], share: float) -> None:
    """Whatever is in it; and it is never more than was asked for."""
    body = chat(*messages)
    cuts = cuts_of(body, CHAT)
    whole = text_of(body)
    if cuts is None:
        assert not whole
        return
    assert cuts.chars == len(whole)
    wanted = max(1, int(share * cuts.chars))
    sliced, chars = cuts.slice(wanted)
    assert chars <= wanted
    assert text_of(sliced) == whole[:chars]


# When there are slices


def test_slices_of_a_prompt() -> None:
    """Each has more of it, and what is little larger than a slice goes with the request."""
    cuts, sent = [], 0.0
    while (upto := next_cut(sent, 1000.0, 256)) is not None:
        cuts.append(upto)
        sent = upto
    assert cuts == [256, 512, 768]
    assert next_cut(0.0, 380.0, 256) is None
    assert next_cut(0.0, 1e6, 0) is None
    assert next_cut(0.0, 0.0, 256) is None


def test_a_very_long_prompt_has_larger_slices() -> None:
    """Each is tokenized from its beginning: there are not many."""
    sent, count = 0.0, 0
    while (upto := next_cut(sent, 200_000.0, 128)) is not None:
        # Whole blocks of the cache, still.
        assert upto % 128 == 0
        assert upto - sent == slice_of(200_000.0, 128)
        sent, count = upto, count + 1
    assert SLICES_MAX / 2 <= count <= SLICES_MAX
    assert (slice_of(1000.0, 256), slice_of(380.0, 256), slice_of(1e6, 0)) == (256, 0, 0)


def test_slices_that_leave_nothing_in_the_cache() -> None:
    """Enough of them, and there are none for an hour; one that is full now and then is no reason."""
    effect = CacheEffect()
    told = [effect.seen(1000.0, 100.0, float(moment)) for moment in range(int(1.2 * EXPECTED_TOKENS / 1000))]
    assert told.count(True) == 1
    since = float(told.index(True))
    assert 1000.0 * since > 0.9 * EXPECTED_TOKENS
    assert effect.none(since + WHOLE_SECONDS - 1.0)
    assert not effect.none(since + WHOLE_SECONDS)
    fine = CacheEffect()
    for moment in range(1000):
        assert not fine.seen(1000.0, 950.0 if moment % 3 else 0.0, float(moment))
    assert not fine.seen(0.0, 0.0, 1001.0)


def test_words_of_whom_a_slice_may_not_end_in() -> None:
    """Templates differ in what may come last: only that is left out, and tried again later."""
    refusals = SliceRefusals()
    refusals.refused("system", 5.0)
    assert not refusals.takes("system", 6.0)
    assert refusals.takes("user", 6.0)
    assert refusals.takes("system", 5.0 + WHOLE_SECONDS)
