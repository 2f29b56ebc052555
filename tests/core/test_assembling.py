"""A streamed answer becomes the same JSON value as an unstreamed one, field by field, as each engine sends it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.errors import StreamBroken
from slackwater.core.sending.answer_kinds import CHAT, COMPLETIONS, ErrorInside
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.assembling import CHOICES_MAX, LARGE_BYTES, Assembling
from tests.core.streams import HEAD, USAGE, assembled, choice_of, delta, events, fed, message_of, text

ROLE = {"role": "assistant", "content": ""}


def test_vllm() -> None:
    """vLLM (entrypoints/openai/chat_completion/serving.py): a role with "", usage in each chunk, and then once more."""
    usage = {"prompt_tokens": 3, "total_tokens": 3, "completion_tokens": 0}
    last = USAGE | {"prompt_tokens_details": {"cached_tokens": 2}}
    chunks = [
        delta(ROLE, logprobs=None) | {"usage": usage, "prompt_token_ids": [1, 2, 3]},
        delta({"content": "Hel"}, logprobs=None, token_ids=[4]) | {"usage": usage | {"completion_tokens": 1}},
        delta({"content": "lo"}, logprobs=None, token_ids=[5, 6], finish="stop", stop_reason=None)
        | {"usage": usage | {"completion_tokens": 3}},
        HEAD | {"choices": [], "usage": last, "system_fingerprint": "vllm-0.32"},
    ]
    assert assembled(chunks) == {
        "id": "c-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hello"},
                "logprobs": None,
                "finish_reason": "stop",
                "stop_reason": None,
                "token_ids": [4, 5, 6],
            }
        ],
        "usage": last,
        "prompt_token_ids": [1, 2, 3],
        "system_fingerprint": "vllm-0.32",
    }


def test_a_stop_reason_of_any_type() -> None:
    """vLLM names the token or the text that ended an answer; a token may have the number 0."""
    for reason in (0, 128009, "###"):
        chunks = [delta(ROLE, stop_reason=None), delta({}, finish="stop", stop_reason=reason)]
        assert choice_of(chunks)["stop_reason"] == reason


def test_sglang() -> None:
    """SGLang (entrypoints/openai/protocol.py): every field in every chunk, most of them null, and `matched_stop`."""
    nothing = {"reasoning_content": None, "tool_calls": None}
    chunks = [
        delta(ROLE | nothing, logprobs=None, matched_stop=None) | {"usage": None},
        delta({"role": None, "content": "Hi"} | nothing, logprobs=None, matched_stop=None) | {"usage": None},
        delta({"role": None, "content": None} | nothing, logprobs=None, finish="stop", matched_stop=2)
        | {"usage": None},
        HEAD | {"choices": [], "usage": USAGE | {"prompt_tokens_details": None}},
    ]
    answer = assembled(chunks)
    assert answer["choices"][0] == {
        "index": 0,
        "message": {"role": "assistant", "content": "Hi", "reasoning_content": None, "tool_calls": None},
        "logprobs": None,
        "finish_reason": "stop",
        "matched_stop": 2,
    }
    assert answer["usage"] == USAGE | {"prompt_tokens_details": None}


def test_llama_cpp() -> None:
    """llama.cpp (tools/server/server-task.cpp): content null beside the role, an empty last delta, timings at the end."""
    chunks = [
        delta({"role": "assistant", "content": None}),
        delta({"content": "a"}),
        delta({"content": "b"}),
        delta({}, finish="length"),
        HEAD | {"choices": [], "usage": USAGE, "timings": {"predicted_ms": 1.50}},
    ]
    answer = assembled(chunks)
    assert answer["choices"] == [
        {"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "length"}
    ]
    assert answer["timings"] == {"predicted_ms": 1.5}


def test_ollama() -> None:
    """Ollama (openai/openai.go) repeats the role, and leaves the number in a tool call, as without a stream."""
    call = {"id": "call_1", "index": 0, "type": "function", "function": {"name": "f", "arguments": "{}"}}
    own = {"system_fingerprint": "fp_ollama"}
    chunks = [
        delta({"role": "assistant", "content": "a"}) | own,
        delta({"role": "assistant", "content": "b"}) | own,
        delta({"role": "assistant", "content": "", "tool_calls": [call]}, finish="tool_calls") | own,
    ]
    assert choice_of(chunks)["message"] == {"role": "assistant", "content": "ab", "tool_calls": [call]}


def test_openai() -> None:
    """OpenAI: refusal null, padding, a tier and a fingerprint in each chunk, usage null until the last."""
    same = {"service_tier": "default", "system_fingerprint": "fp_1", "usage": None, "obfuscation": "xyz"}
    chunks = [
        delta(ROLE | {"refusal": None}, logprobs=None) | same,
        delta({"content": "Hi"}, logprobs=None) | same,
        delta({}, logprobs=None, finish="stop") | same,
        HEAD | same | {"choices": [], "usage": USAGE},
    ]
    assert assembled(chunks) == {
        "id": "c-1",
        "object": "chat.completion",
        "created": 7,
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "Hi", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": USAGE,
        "service_tier": "default",
        "system_fingerprint": "fp_1",
    }


def test_azure() -> None:
    """Azure: a first chunk about the prompt that has no id, and findings with every choice, of which the worst counts."""
    prompt = [{"prompt_index": 0, "content_filter_results": {"hate": {"filtered": False, "severity": "safe"}}}]
    safe = {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"filtered": False, "detected": False}}
    low = {"hate": {"filtered": False, "severity": "low"}}
    empty = {"id": "", "model": "", "object": "", "created": 0}
    chunks = [
        empty | {"choices": [], "prompt_filter_results": prompt},
        delta(ROLE | {"refusal": None}, content_filter_results={}),
        delta({"content": "a"}, content_filter_results=low),
        delta({"content": "b"}, content_filter_results=safe),
        delta({}, finish="stop", content_filter_results={}, content_filter_offsets={"check_offset": 1}),
        HEAD | {"choices": [], "usage": USAGE},
    ]
    answer = assembled(chunks)
    assert (answer["id"], answer["created"], answer["model"]) == ("c-1", 7, "m")
    assert answer["prompt_filter_results"] == prompt
    assert answer["choices"] == [
        {
            "index": 0,
            "message": {"role": "assistant", "content": "ab", "refusal": None},
            "finish_reason": "stop",
            "content_filter_results": safe | low,
        }
    ]


def test_content_is_null_beside_what_is_in_its_place() -> None:
    """Tool calls, refusals and reasoning without an answer have no content; an answer of no words has an empty one."""
    call = {"index": 0, "id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    assert message_of(ROLE, {"tool_calls": [call]})["content"] is None
    assert message_of(ROLE, {"refusal": "no"}) == {"role": "assistant", "content": None, "refusal": "no"}
    assert message_of(ROLE, {"reasoning_content": "hm"})["content"] is None
    assert message_of(ROLE)["content"] == ""
    assert message_of({"role": "assistant"})["content"] is None
    assert message_of(ROLE, {"reasoning": "hm"}, {"content": "yes"})["content"] == "yes"


def test_tool_calls_come_in_pieces() -> None:
    """OpenAI and vLLM: id, type and name first, then arguments bit by bit; several calls, interleaved."""
    message = message_of(
        {"role": "assistant", "content": None},
        {"tool_calls": [{"index": 1, "id": "b", "type": "function", "function": {"name": "g", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f", "arguments": ""}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"x'}}, {"index": 1, "function": {"arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "id": "", "type": "function", "function": {"name": None, "arguments": '":1}'}}]},
        {"tool_calls": [{"index": 1, "function": {"arguments": "}"}}]},
    )
    assert message["tool_calls"] == [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
        {"id": "b", "type": "function", "function": {"name": "g", "arguments": "{}"}},
    ]


def test_one_call_whose_pieces_have_ids_of_their_own() -> None:
    """Older vLLM makes up an id for each piece (DeltaToolCall); the first one is the call's."""
    message = message_of(
        {"tool_calls": [{"index": 0, "id": "a", "type": "function", "function": {"name": "f"}}]},
        {"tool_calls": [{"index": 0, "id": "b", "type": "function", "function": {"arguments": "{"}}]},
        {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"arguments": "}"}}]},
    )
    assert message["tool_calls"] == [{"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


def test_the_function_call_of_older_models() -> None:
    """`function_call` comes in pieces like a tool call, without a number."""
    message = message_of(
        {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": ""}},
        {"function_call": {"arguments": "{"}},
        {"function_call": {"arguments": "}"}},
    )
    assert message == {"role": "assistant", "content": None, "function_call": {"name": "f", "arguments": "{}"}}


def test_what_can_be_read_in_two_ways_is_not_guessed() -> None:
    """Two calls under one number, calls without numbers after others, and a value that changes its type."""
    whole = {"type": "function", "function": {"name": "f", "arguments": "{}"}}
    for deltas in (
        [{"tool_calls": [whole | {"index": 0, "id": "a"}]}, {"tool_calls": [whole | {"index": 0, "id": "b"}]}],
        [{"tool_calls": [whole | {"id": "a"}]}, {"tool_calls": [whole | {"id": "b"}]}],
        [{"tool_calls": [whole | {"index": 0, "id": "a"}]}, {"tool_calls": [whole | {"id": "b"}]}],
        [{"content": "a"}, {"content": ["b"]}],
        [{"content": "a"}, {"content": {"b": 1}}],
        [{"content": "a"}, {"content": 1}],
    ):
        with pytest.raises(StreamBroken):
            message_of(*deltas)


def test_logprobs_of_chats_go_on() -> None:
    """The lists of `content` and of `refusal` are one list each; a null among them says nothing."""
    one, two = ({"token": t, "logprob": -0.10, "bytes": [1], "top_logprobs": []} for t in "ab")
    choice = choice_of(
        [
            delta(ROLE, logprobs=None),
            delta({"content": "a"}, logprobs={"content": [one], "refusal": None}),
            delta({"content": "b"}, logprobs={"content": [two], "refusal": None}),
            delta({}, finish="stop", logprobs=None),
        ]
    )
    assert choice["logprobs"] == {"content": [one, two], "refusal": None}


@pytest.mark.parametrize("own", [False, True])
def test_logprobs_of_completions_are_parallel_lists(own: bool) -> None:
    """Offsets count from the beginning of the text, whether a server counts so or from that of each chunk."""

    def logprobs(offset: int, token: str) -> dict[str, Any]:
        offsets = [0 if own else offset]
        return {"text_offset": offsets, "token_logprobs": [-1.0], "tokens": [token], "top_logprobs": [{token: -1.0}]}

    chunks = [
        text("né", logprobs=logprobs(0, "né")),
        text("😀", logprobs=logprobs(2, "😀")),
        text("x", logprobs=logprobs(3, "x")),
        text("", finish="stop", logprobs=None),
    ]
    answer = assembled(chunks, COMPLETIONS)
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [
        {
            "index": 0,
            "text": "né😀x",
            "finish_reason": "stop",
            "logprobs": {
                "text_offset": [0, 2, 3],
                "token_logprobs": [-1.0] * 3,
                "tokens": ["né", "😀", "x"],
                "top_logprobs": [{"né": -1.0}, {"😀": -1.0}, {"x": -1.0}],
            },
        }
    ]


def test_choices_are_interleaved() -> None:
    """Each choice has its own pieces, and they are in the order of their numbers."""
    chunks = [
        delta(ROLE, index=1),
        delta(ROLE, index=0),
        delta({"content": "b"}, index=1),
        HEAD | {"choices": [delta({"content": c}, index=i)["choices"][0] for i, c in ((0, "a"), (1, "d"))]},
        delta({"content": "c"}, index=0, finish="stop"),
        delta({}, index=1, finish="length"),
    ]
    answer = assembled(chunks)
    found = [(each["index"], each["message"]["content"], each["finish_reason"]) for each in answer["choices"]]
    assert found == [(0, "ac", "stop"), (1, "bd", "length")]


def test_unknown_fields() -> None:
    """Of a delta texts are joined, lists go on and objects are merged; of a choice lists go on; of a chunk the last counts."""
    chunks = [
        delta(ROLE | {"note": "a", "seen": [1], "deep": {"in": {"s": "x", "n": 1}}}, kind="p", ids=[1]) | {"top": [1]},
        delta({"note": "b", "seen": [2, 3], "deep": {"in": {"s": "y", "n": 2}}}, kind="q", ids=[2]) | {"top": [2]},
        delta({"seen": [], "note": None}, finish="stop", ids=[]),
    ]
    answer = assembled(chunks)
    (choice,) = answer["choices"]
    assert (choice["kind"], choice["ids"], answer["top"]) == ("q", [1, 2], [2])
    message = choice["message"]
    assert (message["note"], message["seen"], message["deep"]) == ("ab", [1, 2, 3], {"in": {"s": "xy", "n": 2}})


def test_values_keep_their_bytes() -> None:
    """Numbers, escapes and what is not UTF-8 are as they came."""
    chunks = [
        b'data: {"id":"c","model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"\\u00e9\\/"}}],"t":1.50}\n\n',
        b'data: {"choices":[{"index":0,"delta":{"content":"\xff"},"finish_reason":"stop"}]}\n\n',
    ]
    whole = fed(events(chunks)).whole()
    assert rb'"content":"\u00e9\/' + b'\xff"' in whole
    assert b'"t":1.50' in whole


def test_a_large_answer_is_not_copied() -> None:
    """It is put together around its largest text, and is the same as any other."""
    said = "é" * LARGE_BYTES
    chunks = [
        delta(ROLE),
        delta({"reasoning": "r" * 1000}),
        delta({"content": said[:7]}),
        delta({"content": said[7:]}, finish="stop"),
        HEAD | {"choices": [], "usage": USAGE},
    ]
    whole = fed(events(chunks)).whole()
    assert isinstance(whole, bytearray)
    message = json.loads(whole)["choices"][0]["message"]
    assert (message["content"], message["reasoning"]) == (said, "r" * 1000)
    assert json.loads(whole)["usage"] == USAGE


def test_half_an_answer_is_none() -> None:
    """Without a finish_reason of every choice, without [DONE], or without anything there is no answer."""
    whole = [delta(ROLE), delta({"content": "a"}), delta({}, finish="stop")]
    fed(events(whole)).whole()
    for stream in (
        events(whole, done=False),
        events(whole[:2]),
        events([delta(ROLE, index=1), *whole]),
        events([delta(ROLE, finish=""), delta({"content": "a"}, finish="")]),
        b"",
        b": keep-alive\n\n",
        b"data: [DONE]\n\n",
        events([HEAD | {"choices": [], "usage": USAGE}]),
    ):
        with pytest.raises(StreamBroken):
            fed(stream).whole()


@pytest.mark.parametrize(
    ("event", "status"),
    [
        # vLLM, SGLang and OpenAI; older vLLM; llama.cpp; a proxy that names its event.
        (b'data: {"error":{"message":"it broke","type":"InternalServerError","code":500}}\n\n', 500),
        (b'data: {"object":"error","message":"no","type":"BadRequestError","code":400}\n\n', 400),
        (b'error: {"code":503,"message":"loading","type":"unavailable_error"}\n\n', 503),
        (b'event: error\ndata: {"message":"gone","code":502}\n\n', 502),
    ],
)
def test_an_error_in_the_middle(event: bytes, status: int) -> None:
    """An error is all that there is, as if an answer with status 200 had had it inside."""
    whole = fed(events([delta(ROLE), delta({"content": "secret"}), event])).whole()
    assert b"secret" not in whole
    read = read_answer(whole, path=CHAT)
    assert isinstance(read, ErrorInside)
    assert read.status == status


def test_what_is_no_chunk_breaks_the_stream() -> None:
    """Events that cannot be read are said without their text."""
    for event in (
        b"data: <html>secret</html>\n\n",
        b'data: {"choices":[1]}\n\n',
        b'data: {"choices":{"secret":1}}\n\n',
    ):
        with pytest.raises(StreamBroken) as broken:
            fed(events([event]))
        assert "secret" not in str(broken.value)
    with pytest.raises(StreamBroken):
        fed(events([delta(ROLE, index=CHOICES_MAX)]))


LINES = st.sampled_from(["\n", "\r\n", "\r"])
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)


@st.composite
def streams(draw: st.DrawFn) -> tuple[bytes, list[str]]:
    """A stream in one of the ways to write it, and the texts of its choices."""
    count = draw(st.integers(1, 3))
    pieces = draw(st.lists(st.tuples(st.integers(0, count - 1), TEXTS), max_size=8))
    chunks = [*(delta(ROLE, index=i) for i in range(count)), *(delta({"content": t}, index=i) for i, t in pieces)]
    chunks += [delta({}, index=i, finish="stop") for i in range(count)]
    end, sent = draw(LINES), "\ufeff" if draw(st.booleans()) else ""
    for chunk in chunks:
        sent += draw(st.sampled_from(["", ": ping" + end + end, "id: 7" + end, end]))
        lines = json.dumps(chunk, ensure_ascii=draw(st.booleans()), indent=draw(st.sampled_from([None, 1]))).split("\n")
        sent += "".join(draw(st.sampled_from(["data:", "data: "])) + line + end for line in lines) + end
    sent += "data: [DONE]" + draw(st.sampled_from(["", end, end + end]))
    return sent.encode(), ["".join(t for i, t in pieces if i == number) for number in range(count)]


@given(streams(), st.data())
def test_any_cut_gives_the_same_value(stream: tuple[bytes, list[str]], data: st.DataObject) -> None:
    """However the bytes come, and however a server writes its events."""
    sent, texts = stream
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=12)))
    answer = Assembling(CHAT)
    for begin, end in zip([0, *cuts], [*cuts, len(sent)], strict=True):
        answer.feed(sent[begin:end])
    whole = answer.whole()
    assert [each["message"]["content"] for each in json.loads(whole)["choices"]] == texts
    assert whole == fed(sent).whole() == fed(sent, cut=1).whole()


@given(st.lists(st.binary(max_size=40), max_size=6))
def test_no_bytes_break_anything_else(pieces: list[bytes]) -> None:
    """Whatever comes: an answer, or StreamBroken."""
    answer = Assembling(CHAT)
    try:
        for piece in pieces:
            answer.feed(b"data: " + piece + b"\n")
        answer.whole()
    except StreamBroken:
        pass


def test_tokens_so_far() -> None:
    """By the usage where chunks have it, else by the tokens that they list, else each chunk that says something is one."""
    say = [delta({"content": c}) for c in "ab"]

    def tokens(*chunks: dict[str, Any]) -> int:
        return fed(events([delta(ROLE), *chunks], done=False)).tokens

    assert tokens() == 0
    assert tokens(*say) == 2
    assert tokens(delta({"content": "abc"}, token_ids=[1, 2, 3]), delta({"content": "d"}, token_ids=[4])) == 4
    assert tokens(say[0] | {"usage": USAGE | {"completion_tokens": 5}}) == 5
    # vLLM counts each choice by itself in chunks, and all of them at the end.
    of_two = [
        delta({"content": "x"}, index=index) | {"usage": USAGE | {"completion_tokens": count}}
        for index, count in ((0, 4), (1, 3), (0, 6))
    ]
    assert tokens(*of_two) == 9
    assert tokens(*of_two, HEAD | {"choices": [], "usage": USAGE | {"completion_tokens": 11}}) == 11
    assert fed(events([text("ab"), text("c")], done=False), COMPLETIONS).tokens == 2


def test_what_is_kept_is_counted() -> None:
    """What is held grows with the answer and not with the stream, and nothing that is kept is left out."""
    answer = Assembling(CHAT)
    answer.feed(events([delta(ROLE)], done=False))
    before = answer.held
    for _ in range(1000):
        answer.feed(events([delta({"content": "0123456789"})], done=False))
    assert 10_000 <= answer.held - before <= 12_000
    for number in range(1000):
        answer.feed(events([delta({f"key{number}": "x"})], done=False))
    assert answer.held > 200_000
    answer.feed(b"data: " + b"x" * 50_000)
    assert answer.held > 250_000
