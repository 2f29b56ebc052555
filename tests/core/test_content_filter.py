"""The verdicts of a content filter, and where texts are found and findings are written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.filtering.content_filter import (
    Blocklist,
    Category,
    Findings,
    Policy,
    Severity,
    Threshold,
    blocked_body,
    findings,
    severity_of,
)
from slackwater.core.filtering.filtered_bodies import Answer, answer_of, prompts_of
from tests.contract.samples import sample, sample_lines

SAFE = dict.fromkeys(Category, Severity.SAFE)
POLICY = Policy(
    name="p",
    thresholds={Category.HATE: Threshold(severity=Severity.HIGH), Category.SEXUAL: Threshold(blocking=False)},
)


@pytest.mark.parametrize(
    ("category", "severity", "filtered"),
    [
        (Category.VIOLENCE, Severity.LOW, False),
        (Category.VIOLENCE, Severity.MEDIUM, True),
        (Category.HATE, Severity.MEDIUM, False),
        (Category.HATE, Severity.HIGH, True),
        (Category.SEXUAL, Severity.HIGH, False),
    ],
)
def test_thresholds(category: Category, severity: Severity, filtered: bool) -> None:
    """A category blocks from its own severity on, medium by default; one that only annotates says the severity."""
    found = findings(POLICY, lists=False, tripped=(), severities=SAFE | {category: severity})
    assert found.filtered is filtered
    assert found.annotations[category] == {"filtered": filtered, "severity": severity.word}
    assert len(found.annotations) == 4


def test_nothing_is_invented() -> None:
    """Only what was looked at is spoken of."""
    assert findings(POLICY, lists=False, tripped=(), severities=None) == Findings({}, False)
    found = findings(POLICY, lists=True, tripped=[Blocklist(name="a", blocking=False)], severities=None, unchecked=True)
    assert found.annotations["custom_blocklists"] == {"details": [{"filtered": False, "id": "a"}], "filtered": False}
    assert found.annotations["error"]["code"] == "content_filter_error"
    assert not found.filtered


def test_severities_of_scores() -> None:
    """Each bound is where its severity begins."""
    bounds = {"low": 0.2, "medium": 0.5, "high": 0.8}
    severities = [severity_of(score, **bounds) for score in (0.0, 0.19, 0.2, 0.5, 0.79, 0.8, 1.0)]
    assert severities == [0, 0, 1, 2, 2, 3, 3]


def test_a_blocked_prompt_has_the_recorded_shape() -> None:
    """The body is the documented 400: the same keys, codes and kinds of annotations."""
    recorded = sample("azure/error_400_content_filter.json")["body"]["error"]
    ours = json.loads(blocked_body(findings(POLICY, lists=False, tripped=(), severities=SAFE)))["error"]
    assert ours.keys() == recorded.keys()
    assert {**ours, "message": "", "innererror": None} == {**recorded, "message": "", "innererror": None}
    assert recorded["message"].startswith("The response was filtered due to the prompt triggering")
    assert ours["message"].startswith("The response was filtered due to the prompt triggering")
    assert ours["innererror"]["code"] == recorded["innererror"]["code"]
    theirs = recorded["innererror"]["content_filter_result"]
    for name, said in ours["innererror"]["content_filter_result"].items():
        assert said.keys() == theirs[name].keys()


CHAT = {
    "messages": [
        {"role": "system", "content": "one"},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "two"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":"three"}'}}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "four"},
    ]
}
RESPONSE = {
    "instructions": "one",
    "input": [
        {"role": "user", "content": [{"type": "input_text", "text": "two"}, {"type": "input_image", "image_url": "x"}]},
        {"type": "function_call_output", "call_id": "c", "output": "three"},
    ],
}


@pytest.mark.parametrize(
    ("path", "body", "texts"),
    [
        ("/chat/completions", CHAT, [("one", "two", '{"a":"three"}', "four")]),
        ("/chat/completions", {}, [()]),
        ("/completions", {"prompt": "one", "suffix": "two"}, [("one", "two")]),
        ("/completions", {"prompt": ["one", "two"]}, [("one",), ("two",)]),
        ("/completions", {"prompt": [1, 2]}, None),
        ("/completions", {"prompt": [[1, 2]]}, None),
        ("/embeddings", {"input": ["one", "two"]}, [("one", "two")]),
        ("/embeddings", {"input": [[1]]}, None),
        ("/responses", RESPONSE, [("one", "two", "three")]),
        ("/responses", {"input": "one"}, [("one",)]),
    ],
)
def test_the_texts_of_a_prompt(path: str, body: dict[str, Any], texts: list[tuple[str, ...]] | None) -> None:
    """Messages, parts, tool calls and their outputs; token ids are no text, and that is said."""
    assert prompts_of(path, json.dumps(body).encode()) == texts


def test_half_a_surrogate_hides_nothing() -> None:
    """A text that is not quite Unicode is looked at all the same."""
    assert prompts_of("/completions", rb'{"prompt":"\ud800 bluefin"}') == [("? bluefin",)]
    assert prompts_of("/completions", b'{"prompt":"\xff"}') is None


def opened(path: str, body: Any) -> Answer:
    """An answer, open."""
    answer = answer_of(path, json.dumps(body).encode())
    assert answer is not None
    return answer


OK = Findings({"hate": {"filtered": False, "severity": "safe"}})
BAD = Findings({"hate": {"filtered": True, "severity": "high"}}, True)


def test_chat_has_the_recorded_shape() -> None:
    """An annotated answer has Azure's keys in Azure's places, and every other value as it came."""
    body = sample_lines("azure/output_chat.jsonl")[0]["response"]["body"]
    bare = {key: value for key, value in body.items() if key != "prompt_filter_results"}
    bare["choices"] = [{k: v for k, v in body["choices"][0].items() if k != "content_filter_results"}]
    answer = opened("/chat/completions", bare)
    assert answer.completions == [("Hello! How can I assist you today?",)]
    annotated = json.loads(answer.annotated([OK], [OK]))
    assert annotated.keys() == body.keys()
    assert annotated["choices"][0].keys() == body["choices"][0].keys()
    assert annotated["prompt_filter_results"] == [{"prompt_index": 0, "content_filter_results": OK.annotations}]
    assert annotated["choices"][0]["content_filter_results"] == OK.annotations
    del annotated["prompt_filter_results"], annotated["choices"][0]["content_filter_results"]
    assert annotated == bare


def test_a_blocked_choice_says_nothing() -> None:
    """Content, tool calls, reasoning and log probabilities are gone; the other choice and the usage stay."""
    message = {"role": "assistant", "content": "secret", "reasoning_content": "secret", "tool_calls": []}
    choice = {"index": 0, "finish_reason": "stop", "message": message, "logprobs": {"content": [{"token": "secret"}]}}
    other = {"index": 1, "finish_reason": "stop", "message": {"role": "assistant", "content": "fine"}}
    answer = opened("/chat/completions", {"choices": [choice, other], "usage": {"prompt_tokens": 1}})
    text = answer.annotated([], [BAD, OK])
    assert b"secret" not in text
    read = json.loads(text)
    assert "prompt_filter_results" not in read
    assert [each["finish_reason"] for each in read["choices"]] == ["content_filter", "stop"]
    assert [each["message"]["content"] for each in read["choices"]] == ["", "fine"]
    assert read["usage"] == {"prompt_tokens": 1}


def test_numbers_keep_their_bytes() -> None:
    """What is not touched is not written anew."""
    body = b'{"choices":[{"index":0,"message":{"content":"a"},"x":1.10}],"big":12345678901234567890123}'
    answer = answer_of("/chat/completions", body)
    assert answer is not None
    text = answer.annotated([OK], [OK])
    assert b'"x":1.10' in text
    assert b'"big":12345678901234567890123' in text


def test_upstream_annotations_stay() -> None:
    """What upstream looked at and we did not stays; what upstream has filtered stays filtered; else ours counts."""
    theirs = {
        "hate": {"filtered": True, "severity": "high"},
        "sexual": {"filtered": False, "severity": "low"},
        "jailbreak": {"filtered": False, "detected": False},
    }
    ours = Findings({"hate": OK.annotations["hate"], "sexual": {"filtered": False, "severity": "safe"}})
    body = {
        "choices": [{"message": {"content": "a"}, "content_filter_results": theirs}],
        "prompt_filter_results": [{"prompt_index": 0, "content_filter_results": theirs}],
    }
    read = json.loads(opened("/chat/completions", body).annotated([ours], [ours]))
    expected = theirs | {"sexual": ours.annotations["sexual"]}
    assert read["choices"][0]["content_filter_results"] == expected
    assert read["prompt_filter_results"][0]["content_filter_results"] == expected


def test_responses() -> None:
    """The Responses API says the same in `content_filters`, and a blocked output is an incomplete response without one."""
    body = sample_lines("azure/output_responses.jsonl")[0]["response"]["body"]
    answer = opened("/responses", body)
    assert len(answer.completions) == 1
    assert "Microsoft was founded" in answer.completions[0][0]
    read = json.loads(answer.annotated([OK], [OK]))
    assert [(each["source_type"], each["blocked"]) for each in read["content_filters"]] == [
        ("prompt", False),
        ("completion", False),
    ]
    assert read | {"content_filters": None} == body
    blocked = json.loads(answer.annotated([], [BAD]))
    assert (blocked["status"], blocked["output"]) == ("incomplete", [])
    assert blocked["incomplete_details"] == {"reason": "content_filter"}


def test_completions_api() -> None:
    """The old API has a text instead of a message."""
    answer = opened("/completions", {"choices": [{"text": "secret", "logprobs": {"tokens": ["secret"]}}]})
    assert answer.completions == [("secret",)]
    read = json.loads(answer.annotated([OK, OK], [BAD]))
    assert (read["choices"][0]["text"], read["choices"][0]["logprobs"]) == ("", None)
    assert [each["prompt_index"] for each in read["prompt_filter_results"]] == [0, 1]


@pytest.mark.parametrize("body", [b"{}", b'{"choices":null}', b'{"choices":[{}]}', b'{"choices":[1]}', b"[]", b"x"])
def test_an_answer_without_a_completion_is_not_opened(body: bytes) -> None:
    """What cannot be looked at is not passed off as looked at."""
    assert answer_of("/chat/completions", body) is None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["content", "text", "message", "choices", "output", "input", "x"]), inner)
    ),
    max_leaves=20,
)


@given(value=JSON, path=st.sampled_from(["/chat/completions", "/completions", "/responses", "/embeddings"]))
def test_anything_can_be_looked_at(value: Any, path: str) -> None:
    """No JSON breaks the search for texts, in a request or in an answer."""
    body = json.dumps({"messages": value, "prompt": value, "input": value, "choices": value, "output": value}).encode()
    texts = prompts_of(path, body)
    assert texts is None or all(isinstance(text, str) for each in texts for text in each)
    answer = answer_of(path, body)
    if answer is not None:
        json.loads(answer.annotated([BAD], [BAD for _ in answer.completions]))
