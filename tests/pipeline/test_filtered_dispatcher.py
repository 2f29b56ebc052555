"""A deployment with a content filter: what is sent, what is written, and what happens while the classifier is down."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest

from slackwater.core.errors import BackendUnreachable, ClassifierFailed
from slackwater.core.filtering.blocklists import Blocklists
from slackwater.core.filtering.breaker import Breaker
from slackwater.core.filtering.content_filter import Blocklist, Category, Policy, Severities, Severity
from slackwater.core.sending.door import DoorState
from slackwater.core.sending.judgement import RetryPolicy, Setback
from slackwater.core.sending.request import Outcome, Reply, Request, Result
from slackwater.pipeline.filtering.content_filter import ContentFilter
from slackwater.pipeline.filtering.filtered_dispatcher import FilteredDispatcher
from slackwater.pipeline.sending.engine import Engine
from slackwater.pipeline.sending.lease import Item, Lease, read_request
from slackwater.ports import BlobRange, Shard
from tests.pipeline.test_listening import Ear
from tests.simulation.virtual import VirtualClock, VirtualLoop

SAFE = dict.fromkeys(Category, Severity.SAFE)
CHAT = "/chat/completions"
DOWN = ClassifierFailed("nobody there", busy=True)
BROKEN = ClassifierFailed("status 500")


def chat(text: str) -> Request:
    """A request that says this."""
    return Request(0, "a", json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode(), CHAT)


def reply(*texts: str) -> Reply:
    """An answer with these choices."""
    choices = [{"index": n, "finish_reason": "stop", "message": {"content": text}} for n, text in enumerate(texts)]
    return Reply(200, json.dumps({"model": "m", "choices": choices, "usage": {"prompt_tokens": 3}}).encode())


class Model:
    """A backend that answers so, and counts its calls."""

    def __init__(self, *answers: Reply | Exception) -> None:
        self.answers = list(answers)
        self.calls = 0

    async def send(self, path: str, body: bytes, *, heard: Callable[[int], None] | None = None) -> Reply:
        self.calls += 1
        if heard is not None:
            assert json.loads(body)["stream"] is True
            heard(1)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        """Nothing to close."""


class Judge:
    """A classifier that finds the word `violent` violent; its first calls end in `trouble`."""

    def __init__(self, *trouble: Exception) -> None:
        self.trouble = list(trouble)
        self.asked: list[tuple[str, str | None]] = []

    async def classify(self, prompt: str, completion: str | None = None) -> Severities:
        self.asked.append((prompt, completion))
        if self.trouble:
            raise self.trouble.pop(0)
        bad = "violent" in (prompt if completion is None else completion)
        return SAFE | {Category.VIOLENCE: Severity.HIGH} if bad else SAFE

    async def close(self) -> None:
        """Nothing to close."""


def item(request: Request, path: str) -> Item:
    """The request as a line of a shard."""
    text = b'{"custom_id":"a","body":%b}' % request.body
    places = (BlobRange(key="i", offset=0, length=len(text)),)
    shard = Shard(batch_id="b", index=0, epoch=1, places=places, lines=1, done=b"", endpoint=path, deployment="d")
    return Item(Lease(shard, text), 0, 0, len(text), len(text), read_request(0, text, path))


class House:
    """A filtered dispatcher with everything around it, in virtual time."""

    def __init__(self, loop: VirtualLoop, model: Model, judge: Judge | None = None, **policy: Any) -> None:
        clock = VirtualClock(loop)
        self.engine = Engine("http://e", clock, slots=2)
        self.filter = ContentFilter(
            Policy(name="strict", thresholds={}, **policy),
            blocklists=Blocklists([Blocklist(name="fish", terms=("bluefin",))]),
            classifier=judge,
            retry=RetryPolicy(attempts_max=3),
            breaker=Breaker(threshold=10, open_first=2.0),
            clock=clock,
            chance=lambda: 0.5,
        )
        self.dispatcher = FilteredDispatcher(
            "b",
            model,
            content_filter=self.filter,
            engine=self.engine,
            door=self.engine.door("key", "m", slots=2),
            concurrency=2,
            model=None,
            retry=RetryPolicy(attempts_max=3),
            clock=clock,
        )

    async def attempt(self, request: Request, path: str = CHAT) -> Result | Setback:
        """One call."""
        request = msgspec.structs.replace(request, path=path)
        return await self.dispatcher.attempt(item(request, path), request, 0.0)


def played(story: Callable[[VirtualLoop], Awaitable[None]]) -> None:
    """Runs a story in virtual time."""
    loop = VirtualLoop()
    try:
        loop.run_until_complete(asyncio.wait_for(story(loop), 1000))
    finally:
        loop.close()


def line(outcome: Result | Setback) -> Any:
    """The line of a result."""
    assert isinstance(outcome, Result)
    return json.loads(outcome.text)


def test_a_streamed_answer_is_filtered_like_any_other() -> None:
    """Whoever listens hears of its chunks, and the completion that must not pass does not."""

    async def story(loop: VirtualLoop) -> None:
        for text in ("well", "a violent answer"):
            plain = await House(loop, Model(reply(text)), Judge()).attempt(chat("hello"))
            house = House(loop, Model(msgspec.structs.replace(reply(text), streamed=True)), Judge())
            ear = Ear()
            house.engine.wants_stream = lambda door, request, ear=ear: ear  # type: ignore[misc]
            assert await house.attempt(chat("hello")) == plain
            assert [what for what, _ in ear.heard] == [1, "end"]

    played(story)


@pytest.mark.parametrize(("text", "category"), [("a BLUEFIN", "custom_blocklists"), ("a violent text", "violence")])
def test_a_blocked_prompt_is_not_sent(text: str, category: str) -> None:
    """It fails with the documented 400, and costs no call to the backend."""

    async def story(loop: VirtualLoop) -> None:
        model = Model(reply("never"))
        outcome = await House(loop, model, Judge()).attempt(chat(text))
        assert isinstance(outcome, Result)
        assert (outcome.outcome, model.calls) == (Outcome.FAILED, 0)
        written = line(outcome)
        assert (written["response"]["status_code"], written["error"]) == (400, None)
        error = written["response"]["body"]["error"]
        assert (error["code"], error["status"]) == ("content_filter", 400)
        assert error["innererror"]["content_filter_result"][category]["filtered"] is True

    played(story)


def test_a_passing_request_is_annotated() -> None:
    """Prompt and completions are looked at; usage and model are counted as ever."""

    async def story(loop: VirtualLoop) -> None:
        judge = Judge()
        outcome = await House(loop, Model(reply("one", "two")), judge).attempt(chat("hello"))
        assert isinstance(outcome, Result)
        assert (outcome.outcome, outcome.model) == (Outcome.COMPLETED, "m")
        assert outcome.usage is not None
        body = line(outcome)["response"]["body"]
        assert body["prompt_filter_results"][0]["content_filter_results"]["violence"]["severity"] == "safe"
        assert [choice["content_filter_results"]["hate"]["filtered"] for choice in body["choices"]] == [False, False]
        assert judge.asked == [("hello", None), ("hello", "one"), ("hello", "two")]

    played(story)


def test_a_blocked_completion() -> None:
    """It is an answer, with success, whose finish reason says why it is empty; its neighbour stays."""

    async def story(loop: VirtualLoop) -> None:
        outcome = await House(loop, Model(reply("about bluefin", "fine")), Judge()).attempt(chat("hello"))
        assert isinstance(outcome, Result)
        assert outcome.outcome is Outcome.COMPLETED
        assert b"bluefin" not in outcome.text
        choices = line(outcome)["response"]["body"]["choices"]
        assert [choice["finish_reason"] for choice in choices] == ["content_filter", "stop"]

    played(story)


def test_only_what_the_policy_names_is_looked_at() -> None:
    """A policy for completions lets prompts pass, and one for prompts lets completions pass, without a word on them."""

    async def story(loop: VirtualLoop) -> None:
        outcome = await House(loop, Model(reply("bluefin")), prompts=False).attempt(chat("bluefin"))
        body = line(outcome)["response"]["body"]
        assert "prompt_filter_results" not in body
        assert body["choices"][0]["finish_reason"] == "content_filter"
        outcome = await House(loop, Model(reply("bluefin")), completions=False).attempt(chat("hello"))
        body = line(outcome)["response"]["body"]
        assert "content_filter_results" not in body["choices"][0]
        assert body["choices"][0]["message"]["content"] == "bluefin"

    played(story)


def test_errors_of_the_backend_are_as_ever() -> None:
    """Refusals are written, and trouble is tried again, with the prompt's judgement kept for the next attempt."""

    async def story(loop: VirtualLoop) -> None:
        judge = Judge()
        gone = BackendUnreachable("refused", sent=False)
        house = House(loop, Model(Reply(429, b"{}", 1.0), gone, reply("one")), judge)
        assert isinstance(await house.attempt(chat("hello")), Setback)
        assert isinstance(await house.attempt(chat("hello")), Setback)
        assert isinstance(await house.attempt(chat("hello")), Result)
        assert judge.asked == [("hello", None), ("hello", "one")]
        outcome = await House(loop, Model(Reply(422, b'{"error":{}}'))).attempt(chat("hello"))
        assert line(outcome)["response"]["status_code"] == 422

    played(story)


def test_a_mended_answer_is_counted_as_one() -> None:
    """Its texts are looked at as everybody will read them."""

    async def story(loop: VirtualLoop) -> None:
        body = reply("cafX").body.replace(b"X", b"\xe9")
        outcome = await House(loop, Model(Reply(200, body))).attempt(chat("hello"))
        assert isinstance(outcome, Result)
        assert outcome.mended
        assert line(outcome)["response"]["body"]["choices"][0]["message"]["content"] == "caf\ufffd"

    played(story)


def test_half_a_completion_does_not_come_with_an_error() -> None:
    """An error inside is judged as the refusal that it is; what broke off has not been looked at, and is not shown."""

    async def story(loop: VirtualLoop) -> None:
        error = b'{"error":{"code":400,"message":"m"}'
        outcome = await House(loop, Model(Reply(200, error + b"}"))).attempt(chat("hello"))
        assert line(outcome)["response"]["body"]["error"]["message"] == "m"
        half = error + b',"choices":[{"message":{"content":"half a bluefin"}}]}'
        outcome = await House(loop, Model(Reply(200, half))).attempt(chat("hello"))
        assert (line(outcome)["response"]["status_code"], line(outcome)["error"]["code"]) == (400, "error_inside")
        assert b"half a bluefin" not in outcome.text

    played(story)


@pytest.mark.parametrize("answer", [b"<html>", b'{"choices":null}', b'{"choices":[{}]}', b"{}"])
def test_an_answer_that_cannot_be_looked_at_does_not_pass(answer: bytes) -> None:
    """It counts as a broken answer, and is tried again."""

    async def story(loop: VirtualLoop) -> None:
        assert isinstance(await House(loop, Model(Reply(200, answer))).attempt(chat("hello")), Setback)

    played(story)


def test_token_ids_do_not_slip_through() -> None:
    """A prompt without a text to look at is refused, and the message says what to send instead."""

    async def story(loop: VirtualLoop) -> None:
        model = Model(reply("never"))
        request = Request(0, "a", b'{"model":"m","prompt":[1,2,3]}', CHAT)
        error = line(await House(loop, model).attempt(request, "/completions"))["response"]["body"]["error"]
        assert (error["code"], model.calls) == ("content_filter_needs_text", 0)

    played(story)


def test_moderations_and_embeddings() -> None:
    """Moderations are left alone; embeddings are looked at before they are asked for, and their answer is untouched."""

    async def story(loop: VirtualLoop) -> None:
        body = b'{"model":"m","input":"bluefin"}'
        answer = Reply(200, b'{"data":[{"embedding":[0.10]}]}')
        outcome = await House(loop, Model(answer)).attempt(Request(0, "a", body, CHAT), "/moderations")
        assert line(outcome)["response"]["status_code"] == 200
        outcome = await House(loop, Model(answer)).attempt(Request(0, "a", body, CHAT), "/embeddings")
        assert line(outcome)["response"]["status_code"] == 400
        outcome = await House(loop, Model(answer)).attempt(Request(0, "a", b'{"input":["eel"]}', CHAT), "/embeddings")
        assert isinstance(outcome, Result)
        assert b'"embedding":[0.10]' in outcome.text

    played(story)


@pytest.mark.parametrize(
    ("path", "body", "answer"),
    [
        ("/images/generations", {"prompt": "{}"}, Reply(200, b'{"data":[{"b64_json":"AAAA"}]}')),
        ("/images/edits", {"prompt": "a", "negative_prompt": "{}"}, Reply(200, b'{"data":[{"b64_json":"AAAA"}]}')),
        ("/videos", {"prompt": "{}"}, Reply(200, b'{"id":"video_1","status":"completed"}')),
        ("/audio/speech", {"input": "{}"}, Reply(200, b"ID3\x04bluefin", content_type="audio/mpeg")),
        ("/rerank", {"query": "fish", "documents": ["a", {"text": "{}"}]}, Reply(200, b'{"results":[{"index":0}]}')),
        ("/score", {"text_1": "fish", "text_2": ["{}"]}, Reply(200, b'{"data":[{"score":0.10}]}')),
        ("/messages", {"system": "{}", "messages": []}, Reply(200, b'{"type":"message","content":[]}')),
    ],
)
def test_prompts_of_other_endpoints(path: str, body: dict[str, Any], answer: Reply) -> None:
    """Each is looked at before it is sent; answers without texts are not touched."""

    async def story(loop: VirtualLoop) -> None:
        for word, status in (("Bluefin", 400), ("eel", 200)):
            model = Model(answer)
            text = json.dumps({"model": "m"} | body).replace("{}", word).encode()
            outcome = await House(loop, model).attempt(Request(0, "a", text, path), path)
            assert line(outcome)["response"]["status_code"] == status
            assert model.calls == (status == 200)
        if path == "/score":
            assert isinstance(outcome, Result)
            assert b'"score":0.10' in outcome.text

    played(story)


def test_token_ids_do_not_slip_through_a_score() -> None:
    """Nobody can read them."""

    async def story(loop: VirtualLoop) -> None:
        for body in (b'{"query":[1,2],"items":["a"]}', b'{"query":"a","items":[[1,2]]}'):
            outcome = await House(loop, Model(Reply(200, b'{"scores":[1]}'))).attempt(
                Request(0, "a", body, CHAT), "/score"
            )
            assert line(outcome)["response"]["body"]["error"]["code"] == "content_filter_needs_text"

    played(story)


@pytest.mark.parametrize("kind", ["text", "thinking"])
def test_anthropic_s_messages_are_read_both_ways(kind: str) -> None:
    """What must not pass is taken out, and the message says so; what passes is annotated, and keeps its bytes."""

    async def story(loop: VirtualLoop) -> None:
        for word, stopped in (("bluefin", "refusal"), ("eel", "end_turn")):
            content = [{"type": kind, kind: f"an {word}"}]
            said = {"type": "message", "stop_reason": "end_turn", "content": content, "usage": {"output_tokens": 3}}
            request = Request(0, "a", b'{"messages":[{"role":"user","content":"fish?"}]}', CHAT)
            outcome = await House(loop, Model(Reply(200, json.dumps(said).encode()))).attempt(request, "/messages")
            body = line(outcome)["response"]["body"]
            assert body["stop_reason"] == stopped
            assert body["content"] == ([] if stopped == "refusal" else content)
            assert [each["source_type"] for each in body["content_filters"]] == ["prompt", "completion"]
            assert isinstance(outcome, Result)
            assert outcome.usage is not None
            assert outcome.usage.output_tokens == 3

    played(story)


def test_open_while_the_classifier_is_down() -> None:
    """Texts pass, and the annotation says that nobody judged them; only one call in a while finds out if it is back."""

    async def story(loop: VirtualLoop) -> None:
        judge = Judge(DOWN)
        house = House(loop, Model(reply("one")), judge, fails_open=True)
        body = line(await house.attempt(chat("violent")))["response"]["body"]
        said = body["prompt_filter_results"][0]["content_filter_results"]
        assert said["error"]["code"] == "content_filter_error"
        assert "violence" not in said
        assert body["choices"][0]["content_filter_results"]["error"]["code"] == "content_filter_error"
        assert len(judge.asked) == 1
        # Blocklists need nobody.
        assert line(await house.attempt(chat("bluefin")))["response"]["status_code"] == 400
        await asyncio.sleep(2.0)
        assert line(await house.attempt(chat("violent")))["response"]["status_code"] == 400
        assert len(judge.asked) == 2

    played(story)


def test_closed_while_the_classifier_is_down() -> None:
    """Requests wait, however long; nothing is sent meanwhile, and no attempt is used up."""

    async def story(loop: VirtualLoop) -> None:
        judge, model = Judge(*[DOWN] * 8), Model(reply("one"))
        house = House(loop, model, judge)
        assert house.dispatcher.holds(CHAT) is None
        attempt = asyncio.ensure_future(house.attempt(chat("hello")))
        await asyncio.sleep(60.0)
        assert model.calls == 0
        held = house.dispatcher.holds(CHAT)
        assert held is not None
        assert (held.state, held.reason) == (DoorState.DOWN, str(DOWN))
        assert (held.since, held.until) == (0.0, 60.0)
        assert line(await attempt)["response"]["status_code"] == 200
        assert house.dispatcher.holds(CHAT) is None
        assert loop.time() > 120

    played(story)


def test_closed_and_no_judgement() -> None:
    """A classifier that answers without a judgement is asked again a few times, then the request fails with a code."""

    async def story(loop: VirtualLoop) -> None:
        model = Model(reply("one"))
        written = line(await House(loop, model, Judge(*[BROKEN] * 3)).attempt(chat("hello")))
        assert (written["response"], written["error"]["code"]) == (None, "content_filter_error")
        assert (written["error"]["message"].count("status 500"), model.calls) == (1, 0)
        assert line(await House(loop, model, Judge(*[BROKEN] * 2)).attempt(chat("hello")))["error"] is None

    played(story)


def test_an_answer_is_held_while_the_classifier_is_down() -> None:
    """The model is not asked again for a completion whose judgement had to wait."""

    async def story(loop: VirtualLoop) -> None:
        model, judge = Model(reply("one")), Judge()
        house = House(loop, model, judge, prompts=False)
        judge.trouble = [DOWN, DOWN]
        assert line(await house.attempt(chat("hello")))["response"]["status_code"] == 200
        assert model.calls == 1

    played(story)


def test_a_wait_can_be_aborted() -> None:
    """A cancel ends the wait for the classifier, and somebody else may probe it instead."""

    async def story(loop: VirtualLoop) -> None:
        class Hanging(Judge):
            async def classify(self, prompt: str, completion: str | None = None) -> Severities:
                if len(self.asked) == 1:
                    self.asked.append((prompt, completion))
                    await asyncio.sleep(1e6)
                return await super().classify(prompt, completion)

        judge = Hanging(DOWN)
        house = House(loop, Model(reply("one")), judge)
        waiting = asyncio.ensure_future(house.attempt(chat("hello")))
        await asyncio.sleep(3.0)
        assert len(judge.asked) == 2, "the one that waits is the probe"
        other = asyncio.ensure_future(house.attempt(chat("hello")))
        await asyncio.sleep(1.0)
        assert not other.done()
        waiting.cancel()
        assert line(await asyncio.wait_for(other, 10.0))["response"]["status_code"] == 200

    played(story)


def test_a_blocked_prompt_says_nothing_of_the_door() -> None:
    """It was not sent: a door that is to be tried with lines is neither opened nor shut by it."""

    async def story(loop: VirtualLoop) -> None:
        house = House(loop, Model(reply("one")))
        door = house.dispatcher.door
        door.question("something speaks against it", 0.0)
        await house.attempt(chat("bluefin"))
        assert not door.open
        assert door.due(0.0)
        assert not door.pulse.ever

    played(story)


def test_the_door_does_not_wait_for_the_classifier() -> None:
    """The backend has answered: that is heard at once, although the answer is held until it is judged."""

    async def story(loop: VirtualLoop) -> None:
        judge = Judge(*[DOWN] * 3)
        house = House(loop, Model(reply("one")), judge, prompts=False)
        held = asyncio.ensure_future(house.attempt(chat("hello")))
        await asyncio.sleep(0.1)
        assert not held.done()
        assert house.dispatcher.door.pulse.ever
        assert line(await held)["response"]["status_code"] == 200

    played(story)
