"""The classifiers against a real server: what they ask, how they read answers, and what they make of trouble."""

import json
from collections.abc import Callable
from typing import Any, TypeVar

import pytest

from slackwater.adapters.upstream.http_backend import HttpBackend
from slackwater.adapters.upstream.moderations_classifier import GuardClassifier, ModerationsClassifier
from slackwater.core.errors import ClassifierFailed
from slackwater.core.filtering.content_filter import Category, Severities, Severity
from slackwater.ports import Backend, Classifier
from tests.adapters.scripted_server import Peer, ScriptedServer

T = TypeVar("T")
SAFE = dict.fromkeys(Category, Severity.SAFE)


def moderations(backend: Backend) -> Classifier:
    """OpenAI's."""
    return ModerationsClassifier(backend, model="omni")


def guard(backend: Backend) -> Classifier:
    """Llama Guard, and one more code."""
    return GuardClassifier(backend, model="guard", codes={"S2": Category.VIOLENCE})


async def asked(
    make: Callable[[Backend], Classifier],
    answer: Any,
    *texts: str,
    status: str = "200 OK",
    headers: str = "",
) -> tuple[Severities, str, Any]:
    """The severities of the texts by a server that answers so; the path and the body that it was asked with."""
    seen: list[tuple[bytes, bytes]] = []

    async def script(peer: Peer) -> None:
        while True:
            seen.append(await peer.request())
            body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
            await peer.answer(body, status=status, headers=headers)

    async with ScriptedServer(script) as server:
        classifier = make(HttpBackend(server.url))
        try:
            severities = await classifier.classify(*texts)
        finally:
            await classifier.close()
        head, body = seen[0]
        return severities, head.split()[1].decode(), json.loads(body)


def judged(scores: dict[str, float], flags: dict[str, bool] | None = None) -> Any:
    """What a moderations server answers."""
    return {"id": "m", "model": "omni", "results": [{"flagged": True, "categories": flags, "category_scores": scores}]}


def said(text: str) -> Any:
    """What a guard model answers."""
    return {"choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}]}


@pytest.mark.parametrize(
    ("scores", "flags", "found"),
    [
        ({"hate": 0.1}, {}, {}),
        ({"hate": 0.3, "harassment/threatening": 0.9}, {}, {Category.HATE: Severity.HIGH}),
        ({"self-harm/intent": 0.5}, {}, {Category.SELF_HARM: Severity.MEDIUM}),
        ({"sexual/minors": 0.05}, {"sexual/minors": True}, {Category.SEXUAL: Severity.MEDIUM}),
        ({"violence/graphic": 0.2, "something new": 1.0}, {}, {Category.VIOLENCE: Severity.LOW}),
        ({}, {"violence": True, "hate": False}, {Category.VIOLENCE: Severity.HIGH}),
    ],
)
def test_moderations(
    run: Callable[..., T], scores: dict[str, float], flags: dict[str, bool], found: dict[Category, Severity]
) -> None:
    """Scores become severities, the worst of a category counts, and what the model flags is at least medium."""
    severities, path, body = run(asked(moderations, judged(scores, flags), "a prompt"))
    assert severities == SAFE | found
    assert (path, body) == ("/v1/moderations", {"input": "a prompt", "model": "omni"})


def test_moderations_of_a_completion(run: Callable[..., T]) -> None:
    """A completion is judged by itself."""
    _, _, body = run(asked(moderations, judged({"hate": 0.0}, {}), "a prompt", "an answer"))
    assert body["input"] == "an answer"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("safe", {}),
        ("\n\nSafe", {}),
        ("unsafe\nS10", {Category.HATE: Severity.HIGH}),
        ("unsafe\nS1,S12", {Category.VIOLENCE: Severity.HIGH, Category.SEXUAL: Severity.HIGH}),
        ("unsafe\nS2", {Category.VIOLENCE: Severity.HIGH}),
        ("unsafe\nS7", {}),
        ("unsafe", dict.fromkeys(Category, Severity.HIGH)),
    ],
)
def test_guard(run: Callable[..., T], text: str, found: dict[Category, Severity]) -> None:
    """Codes become categories; unsafe without a code is unsafe in every way."""
    severities, path, body = run(asked(guard, said(text), "a prompt", "an answer"))
    assert severities == SAFE | found
    assert path == "/v1/chat/completions"
    assert [message["role"] for message in body["messages"]] == ["user", "assistant"]
    assert (body["model"], body["temperature"]) == ("guard", 0)


@pytest.mark.parametrize("make", [moderations, guard])
@pytest.mark.parametrize("answer", [b"<html>", {}, {"results": []}, {"results": [{}]}, {"choices": []}, said("Sorry")])
def test_an_answer_without_a_judgement(
    run: Callable[..., T], make: Callable[[Backend], Classifier], answer: Any
) -> None:
    """What is no judgement is not taken for a safe one."""
    with pytest.raises(ClassifierFailed) as caught:
        run(asked(make, answer, "a secret"))
    assert not caught.value.busy
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "busy"),
    [("400 Bad Request", False), ("401 Unauthorized", False), ("429 Too Many", True), ("503 Busy", True)],
)
def test_a_server_in_trouble(run: Callable[..., T], status: str, busy: bool) -> None:
    """A busy server is told apart from one that refuses."""
    with pytest.raises(ClassifierFailed, match=status[:3]) as caught:
        run(asked(moderations, b"the secret again", "a secret", status=status, headers="Retry-After: 3\r\n"))
    assert (caught.value.busy, caught.value.retry_after) == (busy, 3.0)
    assert "secret" not in str(caught.value)


def test_nobody_there(run: Callable[..., T]) -> None:
    """A server that is not there is busy: it may come back."""

    async def work() -> None:
        async with ScriptedServer(lambda peer: peer.stay_silent()) as server:
            url = server.url
        classifier = moderations(HttpBackend(url))
        with pytest.raises(ClassifierFailed) as caught:
            await classifier.classify("a prompt")
        assert caught.value.busy
        await classifier.close()

    run(work())
