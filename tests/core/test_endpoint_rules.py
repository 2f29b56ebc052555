"""The rules of lines for images, videos, speech, rerank, score and Anthropic's messages: what is taken, and what is said."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.endpoints import REQUIRED_KEY, USUAL, normalised, versioned
from slackwater.core.input.endpoint_rules import KNOWN, NEEDED, TYPED
from slackwater.core.input.line_judge import Rules
from slackwater.core.input.validation import InputChecker
from slackwater.core.sending.deployment import Capabilities
from tests.core.input_lines import DEPLOYMENT, check, line, only_fault
from tests.core.test_validation_of_anything import LongWay

OFFERED = {DEPLOYMENT: Capabilities(endpoints=tuple(REQUIRED_KEY))}
PICTURE = "data:image/png;base64,AAAA"
SAID = [{"role": "user", "content": "Hello"}]
# The usual form of each, and others that engines take.
GOOD: list[tuple[str, dict[str, object]]] = [
    ("/images/generations", {"prompt": "a boat", "n": 2, "size": "1024x1024", "quality": "low"}),
    ("/images/generations", {"prompt": "a boat", "n": None, "seed": 7}),
    ("/images/edits", {"prompt": "more sea", "images": [{"image_url": PICTURE}], "mask": {"image_url": PICTURE}}),
    (
        "/images/edits",
        {"prompt": "more sea", "images": [{"file_id": "file-1"}, {"image_url": "https://a.example/b.png"}]},
    ),
    ("/images/edits", {"prompt": "more sea", "image": PICTURE}),
    ("/videos", {"prompt": "a wave", "seconds": "8", "size": "1280x720"}),
    ("/videos", {"prompt": "a wave", "seconds": 8, "input_reference": {"file_id": "file-1"}}),
    ("/audio/speech", {"input": "Hello", "voice": "alloy", "response_format": "mp3", "speed": 1}),
    ("/audio/speech", {"input": "Hello", "voice": {"id": "voice_1"}, "stream_format": "audio"}),
    ("/rerank", {"query": "tide", "documents": ["ebb", "flood"], "top_n": 1}),
    ("/rerank", {"query": "tide", "documents": [{"text": "ebb"}]}),
    (
        "/rerank",
        {"query": {"content": [{"type": "text", "text": "tide"}]}, "documents": {"content": [{"type": "text"}]}},
    ),
    ("/score", {"text_1": "tide", "text_2": ["ebb", "flood"]}),
    ("/score", {"queries": ["tide"], "documents": ["ebb"]}),
    ("/score", {"data_1": "tide", "data_2": "ebb"}),
    ("/score", {"query": "tide", "items": ["ebb"], "label_token_ids": [1, 2]}),
    ("/messages", {"messages": SAID, "max_tokens": 10, "system": "Be short."}),
    ("/messages", {"messages": SAID, "max_tokens": 10, "system": [{"type": "text", "text": "Be short."}]}),
]
# What is wrong, and where that is said to be.
BAD: list[tuple[str, dict[str, object], str, str]] = [
    ("/images/generations", {}, "body.prompt", "Missing required parameter: 'prompt'"),
    ("/images/generations", {"prompt": ""}, "body.prompt", "a string that is not empty"),
    ("/images/generations", {"prompt": ["a", "b"]}, "body.prompt", "a string that is not empty"),
    ("/images/generations", {"prompt": "a", "n": 0}, "body.n", "at least 1"),
    ("/images/generations", {"prompt": "a", "n": "2"}, "body.n", "an integer"),
    ("/images/generations", {"prompt": "a", "n": True}, "body.n", "an integer"),
    ("/images/generations", {"prompt": "a", "size": 1024}, "body.size", "a string"),
    ("/images/generations", {"prompt": "a", "stream": True}, "body.stream", "not supported"),
    ("/images/edits", {"prompt": "a"}, "body.images", "Missing required parameter: 'images'"),
    ("/images/edits", {"prompt": "a", "images": []}, "body.images", "at least one image"),
    ("/images/edits", {"prompt": "a", "images": [PICTURE]}, "body.images[0]", "no files beside its lines"),
    ("/images/edits", {"prompt": "a", "images": [{}]}, "body.images[0]", "either an 'image_url' or a 'file_id'"),
    (
        "/images/edits",
        {"prompt": "a", "images": [{"image_url": PICTURE}, {"image_url": PICTURE, "file_id": "file-1"}]},
        "body.images[1]",
        "either an 'image_url' or a 'file_id'",
    ),
    (
        "/images/edits",
        {"prompt": "a", "images": [{"image_url": "boat.png"}]},
        "body.images[0].image_url",
        "not 'boat.png'",
    ),
    ("/images/edits", {"prompt": "a", "images": [{"file_id": 7}]}, "body.images[0].file_id", "a string"),
    ("/images/edits", {"prompt": "a", "image": PICTURE, "mask": PICTURE}, "body.mask", "no files beside its lines"),
    ("/videos", {"prompt": None}, "body.prompt", "Missing required parameter: 'prompt'"),
    ("/videos", {"prompt": "a", "seconds": []}, "body.seconds", "a number of seconds"),
    ("/videos", {"prompt": "a", "input_reference": "boat.png"}, "body.input_reference", "no files beside its lines"),
    ("/audio/speech", {"voice": "alloy"}, "body.input", "Missing required parameter: 'input'"),
    ("/audio/speech", {"input": ["a"]}, "body.input", "a string that is not empty"),
    ("/audio/speech", {"input": "a", "voice": 1}, "body.voice", "a string or an object"),
    ("/audio/speech", {"input": "a", "speed": "fast"}, "body.speed", "a number"),
    ("/audio/speech", {"input": "a", "stream_format": "sse"}, "body.stream_format", "Streaming is not supported"),
    ("/rerank", {"documents": ["a"]}, "body.query", "Missing required parameter: 'query'"),
    ("/rerank", {"query": "a"}, "body.documents", "Missing required parameter: 'documents'"),
    ("/rerank", {"query": "a", "documents": []}, "body.documents", "not empty"),
    ("/rerank", {"query": ["a"], "documents": ["a"]}, "body.query", "a string or an object"),
    ("/rerank", {"query": "a", "documents": ["a"], "top_n": -1}, "body.top_n", "at least 0"),
    ("/score", {}, "body.text_1", "Missing required parameter: 'text_1'"),
    ("/score", {"text_1": "a"}, "body.text_2", "Missing required parameter: 'text_2'"),
    ("/score", {"queries": "a"}, "body.documents", "Missing required parameter: 'documents'"),
    ("/score", {"text_1": "a", "text_2": []}, "body.text_2", "not empty"),
    ("/messages", {"max_tokens": 10}, "body.messages", "Missing required parameter: 'messages'"),
    ("/messages", {"messages": "Hello"}, "body.messages", "at least one message"),
    ("/messages", {"messages": SAID, "max_tokens": 0}, "body.max_tokens", "at least 1"),
    ("/messages", {"messages": SAID, "system": 1}, "body.system", "a string or an array"),
]


def of(endpoint: str, body: dict[str, object], custom_id: str) -> bytes:
    return line(custom_id=custom_id, url=f"/v1{endpoint}", body={"model": DEPLOYMENT} | body)


@pytest.mark.parametrize(("endpoint", "body"), GOOD)
def test_what_is_right_is_taken(endpoint: str, body: dict[str, object]) -> None:
    """As the first line of a file and as a later one, which is read in another way."""
    data = of(endpoint, GOOD[[name for name, _ in GOOD].index(endpoint)][1], "first") + of(endpoint, body, "second")
    verdict = check(data, endpoint=endpoint, deployments=OFFERED)
    assert verdict.errors == []
    assert verdict.endpoint == endpoint
    assert check(of(endpoint, body, "only"), endpoint=endpoint, deployments=OFFERED).errors == []


@pytest.mark.parametrize(("endpoint", "body", "param", "said"), BAD)
def test_what_is_wrong_is_said_with_its_line_and_place(
    endpoint: str, body: dict[str, object], param: str, said: str
) -> None:
    """As the first line of a file and as a later one, which is read in another way."""
    good = of(endpoint, GOOD[[name for name, _ in GOOD].index(endpoint)][1], "first")
    for data, number in ((of(endpoint, body, "x"), 1), (good + b"\n" + of(endpoint, body, "x"), 3)):
        error = only_fault(data, endpoint=endpoint, deployments=OFFERED)
        assert (error.code, error.param, error.line) == ("invalid_request", param, number)
        assert said in error.message


def test_rules_are_there_for_all_that_is_not_usual() -> None:
    """None is left to the rules of another endpoint."""
    others = set(REQUIRED_KEY) - set(USUAL)
    assert set(TYPED) == others
    assert set(NEEDED) | {"/score"} == set(KNOWN) | {"/score"} == others


def test_a_deployment_that_says_nothing_offers_the_usual_ones() -> None:
    """A model of language neither draws nor ranks: whoever has another one says so."""
    error = only_fault(of("/rerank", {"query": "a", "documents": ["b"]}, "x"), endpoint="/v1/rerank")
    assert "does not offer /rerank, only /chat/completions" in error.message


@pytest.mark.parametrize("url", ["/rerank", "/v1/rerank", "/v2/rerank", "/openai/v1/rerank"])
def test_spellings_of_one_endpoint(url: str) -> None:
    """Engines serve rerank under several paths, and files have them all."""
    assert normalised(url) == "/rerank"
    data = line(url=url, body={"model": DEPLOYMENT, "query": "a", "documents": ["b"]})
    assert check(data, endpoint="/v1/rerank", deployments=OFFERED).errors == []


@pytest.mark.parametrize(
    ("url", "endpoint"), [("/rerank", "/v1/rerank"), ("/v2/rerank", "/v2/rerank"), ("/openai/v1/score/", "/v1/score")]
)
def test_openai_s_family_compares_to_the_letter(url: str, endpoint: str) -> None:
    """A file is looked at for the endpoint that it would be a batch of."""
    assert versioned(url) == endpoint
    data = line(
        url=endpoint, body={"model": DEPLOYMENT, "query": "a", "documents": ["b"], "text_1": "a", "text_2": "b"}
    )
    assert check(data, endpoint=endpoint, family="openai", deployments=OFFERED).errors == []


def test_pictures_in_messages_are_found_where_the_model_cannot_see() -> None:
    """Anthropic's form of a picture is another one than OpenAI's."""
    picture = {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}}
    body = {"messages": [{"role": "user", "content": [picture]}], "max_tokens": 5}
    blind = {DEPLOYMENT: Capabilities(endpoints=("/messages",), images=False)}
    good = of("/messages", {"messages": SAID}, "first")
    error = only_fault(good + of("/messages", body, "x"), endpoint="/v1/messages", deployments=blind)
    assert (error.param, error.line) == ("body.messages[0].content[0]", 2)


def test_endpoints_may_differ_from_line_to_line_in_a_run() -> None:
    """Each line is judged by the rules of its own, whatever the one before it was."""
    data = b"".join(of(endpoint, body, f"{number}") for number, (endpoint, body) in enumerate(GOOD))
    data += of("/rerank", {"query": "a", "documents": []}, "bad") + of("/messages", {"messages": SAID}, "last")
    error = only_fault(data, family="each_line", endpoint="*", deployments=None)
    assert (error.param, error.line) == ("body.documents", len(GOOD) + 1)


VALUES = [
    *(None, "", "x", 0, 1, -1, 1.5, True, [], ["x"], [""], [1], [[]], [{}], {}),
    *({"text": "x"}, {"image_url": PICTURE}, [{"image_url": "x"}], {"image_url": PICTURE, "file_id": None}),
]


@given(
    endpoint=st.sampled_from(sorted(TYPED)),
    changes=st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99), st.sampled_from(VALUES)), max_size=6),
    images=st.booleans(),
)
def test_the_short_way_never_differs_from_the_long_way(
    endpoint: str, changes: list[tuple[int, int, object]], images: bool
) -> None:
    """Whatever a field holds: the typed decode lets through what the look key by key does, and nothing else."""
    bodies = [body for name, body in GOOD if name == endpoint]
    names = sorted({name for body in bodies for name in body} | set(KNOWN.get(endpoint, {})))
    data = of(endpoint, bodies[0], "first")
    for number, (which, where, value) in enumerate(changes):
        data += of(endpoint, bodies[which % len(bodies)] | {names[where % len(names)]: value}, f"{number}")
    rules = Rules(
        family="azure",
        endpoint=endpoint,
        deployments={DEPLOYMENT: Capabilities(endpoints=(endpoint,), images=images)},
    )
    short, long = InputChecker(rules), LongWay(rules)
    for checker in (short, long):
        for text in io.BytesIO(data):
            checker.feed(text)
    assert short.finish() == long.finish()
