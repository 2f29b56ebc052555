"""Which requests may be streamed, what is learnt of engines that do not, and the fields that only whole answers have."""

import json

import pytest

from slackwater.core.sending.answer_kinds import CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES
from slackwater.core.sending.likeness import Likeness
from slackwater.core.sending.streaming import PLAIN_SECONDS, Form, Streaming, asks_to_stream

BODY = b'{"model":"m","n":1.10,"messages":[{"role":"user","content":"\\u00e9"}]}'


def test_a_request_that_asks_for_a_stream() -> None:
    """Two fields come in; every other value keeps its bytes."""
    asked = asks_to_stream(BODY, CHAT)
    assert asked == BODY[:-1] + b',"stream":true,"stream_options":{"include_usage":true,"continuous_usage_stats":true}}'
    plain = asks_to_stream(BODY, COMPLETIONS, continuous=False)
    assert plain == BODY[:-1] + b',"stream":true,"stream_options":{"include_usage":true}}'
    for nothing in (
        {"stream": False},
        {"stream": None, "stream_options": None},
        {"audio": None, "modalities": ["text"]},
    ):
        body = json.dumps({"model": "m"} | nothing).encode()
        assert json.loads(asks_to_stream(body, CHAT) or b"")["stream"] is True


@pytest.mark.parametrize(
    "more",
    [
        {"stream": True},
        {"stream": "false"},
        {"stream_options": {"include_usage": True}},
        {"modalities": ["text", "audio"]},
        {"audio": {"voice": "alloy"}},
        {"prompt_logprobs": 1},
        {"use_beam_search": True},
        {"best_of": 2},
        {"echo": True},
        {"kv_transfer_params": {}},
    ],
)
def test_what_might_come_out_otherwise_is_not_streamed(more: dict[str, object]) -> None:
    """An answer that is another one when it is streamed, and a request that has words about streams of its own."""
    assert asks_to_stream(json.dumps({"model": "m"} | more).encode(), CHAT) is None


def test_other_endpoints_are_not_streamed() -> None:
    """Embeddings have no chunks, and responses have other ones."""
    assert asks_to_stream(BODY, EMBEDDINGS) is None
    assert asks_to_stream(BODY, RESPONSES) is None
    assert asks_to_stream(b"[1]", CHAT) is None


def test_what_is_learnt_of_an_engine() -> None:
    """One that does not know the usage in every chunk is asked without; one that cannot stream is asked again in an hour."""
    streaming = Streaming()
    assert streaming.form(0.0) is Form.CONTINUOUS
    streaming.refused(b"Unknown parameter: 'stream_options.continuous_usage_stats'.", 1.0)
    assert streaming.form(1.0) is Form.STREAM
    streaming.refused(b"Unknown parameter: 'stream_options'.", 2.0)
    assert streaming.form(2.0) is Form.PLAIN
    assert streaming.form(2.0 + PLAIN_SECONDS) is Form.STREAM
    other = Streaming()
    other.broke(5.0)
    assert (other.form(5.0), other.form(5.0 + PLAIN_SECONDS)) == (Form.PLAIN, Form.CONTINUOUS)
    assert Streaming(never=True).form(1e12) is Form.PLAIN


def test_fields_that_say_nothing_come_from_a_whole_answer() -> None:
    """vLLM writes null for what it does not have, but not in chunks. Values are never taken over, nor is what is there."""
    whole = {
        "id": "w",
        "service_tier": None,
        "choices": [
            {
                "index": 0,
                "message": {"content": "secret", "refusal": None, "annotations": [], "audio": None},
                "logprobs": None,
                "stop_reason": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 1,
            "prompt_tokens_details": {"cached_tokens": 0, "multimodal_tokens": None},
            "completion_tokens_details": {"reasoning_tokens": None},
            "cost": None,
        },
        "kv_transfer_params": None,
    }
    streamed = {
        "id": "s",
        "choices": [
            {"index": i, "message": {"content": "x", "audio": {"id": "1"}}, "logprobs": {"content": [1]}}
            for i in (0, 1)
        ],
        "usage": {"prompt_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}},
    }
    given = json.loads(Likeness(json.dumps(whole).encode()).given_to(json.dumps(streamed).encode()))
    choice = {
        "message": {"content": "x", "audio": {"id": "1"}, "refusal": None, "annotations": []},
        "logprobs": {"content": [1]},
        "stop_reason": None,
    }
    assert given == {
        "id": "s",
        "service_tier": None,
        "choices": [{"index": 0, **choice}, {"index": 1, **choice}],
        "usage": {
            "prompt_tokens": 2,
            "prompt_tokens_details": {"cached_tokens": 1, "multimodal_tokens": None},
            "cost": None,
        },
        "kv_transfer_params": None,
    }
    for nothing in (b"<html>", b"{}", b'{"choices":[]}', b'{"choices":[{"message":7}]}'):
        body = json.dumps(streamed).encode()
        assert Likeness(nothing).given_to(body) == body
