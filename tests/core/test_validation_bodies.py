"""The rules of a body: payload, images, what a batch does not do, what a deployment offers, how many embeddings."""

import json

import pytest

from slackwater.core.sending.deployment import Capabilities
from tests.core.input_lines import DEPLOYMENT, body, check, faults, line, only_fault

SEED_CHAT = [{"role": "user", "content": "Hello"}]


@pytest.mark.parametrize(
    ("endpoint", "payload", "accepted"),
    [
        ("/chat/completions", {"messages": "Hello"}, False),
        ("/chat/completions", {"messages": []}, False),
        ("/chat/completions", {"messages": None}, False),
        ("/chat/completions", {"input": "Hello"}, False),
        ("/completions", {"prompt": "Hello"}, True),
        ("/completions", {"prompt": [1, 2]}, True),
        ("/completions", {"messages": [{"role": "user", "content": "Hello"}]}, False),
        ("/embeddings", {"input": ["a", "b"]}, True),
        ("/embeddings", {"input": {}}, False),
        ("/embeddings", {"input": 5}, False),
        ("/responses", {"input": [{"role": "user", "content": "Hello"}]}, True),
        ("/moderations", {"input": "Hello"}, True),
        ("/moderations", {}, False),
    ],
)
def test_each_endpoint_needs_its_payload(endpoint: str, payload: dict[str, object], accepted: bool) -> None:
    """Chat needs messages, completions a prompt, the others an input; each with something in it."""
    data = line(url=f"/v1{endpoint}", body={"model": DEPLOYMENT} | payload)
    assert (check(data, endpoint=endpoint).errors == []) is accepted


@pytest.mark.parametrize("space", ["", " ", "\t " * 40])
def test_space_in_a_payload_hides_nothing(space: str) -> None:
    """However far the first message is from the bracket: it is found, or found missing."""
    text = line().decode()
    assert check(text.replace("[{", f"[{space}{{").encode()).errors == []
    empty = line(body=body(messages=[])).decode().replace("[]", f"[{space}]")
    assert check(empty.encode()).errors[0].param == "body.messages"


# What a deployment offers


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize(
    ("endpoint", "url", "payload", "offered"),
    [
        ("/embeddings", "/embeddings", {"input": "Hello"}, "/chat/completions"),
        ("/chat/completions", "/chat/completions", {"messages": SEED_CHAT}, "/embeddings"),
    ],
)
def test_an_endpoint_that_is_not_offered_is_said_once(
    endpoint: str, url: str, payload: dict[str, object], offered: str, family: str
) -> None:
    """A deployment without the batch's endpoint is one fault of the file, at the first line that names it."""
    data = b"\n" + b"".join(line(custom_id=name, url=url, body={"model": DEPLOYMENT} | payload) for name in "abc")
    error = only_fault(
        data, family=family, endpoint=endpoint, deployments={DEPLOYMENT: Capabilities(endpoints=(offered,))}
    )
    assert (error.code, error.param, error.line) == ("invalid_request", "body.model", 2)
    assert f"does not offer {endpoint}, only {offered}" in error.message


def test_the_file_decides_which_endpoint_must_be_offered() -> None:
    """An Azure batch of chat whose file is of responses needs a deployment that offers those, and only those."""
    data = line(url="/v1/responses", body={"model": DEPLOYMENT, "input": "Hello"})
    offers = {name: {DEPLOYMENT: Capabilities(endpoints=(name,))} for name in ("/responses", "/chat/completions")}
    assert check(data, deployments=offers["/responses"]).errors == []
    assert "does not offer /responses" in only_fault(data, deployments=offers["/chat/completions"]).message


# Images

IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
TEXT = {"type": "text", "text": 'An "image_url", or {"type": "input_image"}, is only a word here.'}
BLIND = {DEPLOYMENT: Capabilities(images=False)}
# Endpoint, payload, and where its first image is.
PAYLOADS: list[tuple[str, str, object, str | None]] = [
    ("/chat/completions", "messages", [{"role": "user", "content": [TEXT, IMAGE]}], "messages[0].content[1]"),
    (
        "/chat/completions",
        "messages",
        [*SEED_CHAT, {"role": "user", "content": [{"type": "image_url", "image_url": "https://example.com/a.png"}]}],
        "messages[1].content[0]",
    ),
    (
        "/chat/completions",
        "messages",
        [{"role": "user", "content": [{"image_url": {"url": "x"}}]}],
        "messages[0].content[0]",
    ),
    (
        "/responses",
        "input",
        [{"role": "user", "content": [{"type": "input_image", "file_id": "file-1"}]}],
        "input[0].content[0]",
    ),
    ("/responses", "input", [{"type": "input_image", "image_url": "https://example.com/a.png"}], "input[0]"),
    (
        "/responses",
        "input",
        [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": "x"}]}],
        "input[0].output[0]",
    ),
    (
        "/responses",
        "input",
        [{"type": "computer_call_output", "output": {"type": "computer_screenshot", "image_url": "x"}}],
        "input[0].output",
    ),
    ("/moderations", "input", [IMAGE], "input[0]"),
    ("/chat/completions", "messages", [{"role": "user", "content": TEXT["text"]}], None),
    ("/chat/completions", "messages", [{"role": "user", "content": [TEXT]}], None),
    (
        "/chat/completions",
        "messages",
        [{"role": "user", "content": [{"type": "text", "text": "x", "image_url": None}]}],
        None,
    ),
    (
        "/chat/completions",
        "messages",
        [{"role": "assistant", "tool_calls": [{"function": {"arguments": json.dumps(IMAGE)}}]}],
        None,
    ),
    ("/chat/completions", "messages", [[IMAGE], "image_url", 7, {"type": ["image_url"], "content": "image"}], None),
    ("/responses", "input", 'A string with "image_url" in it', None),
    ("/embeddings", "input", ["image_url", '{"type": "input_image"}'], None),
]


@pytest.mark.parametrize(("endpoint", "key", "payload", "place"), PAYLOADS)
@pytest.mark.parametrize("first", [True, False])
def test_images_are_for_models_that_see(
    endpoint: str, key: str, payload: object, place: str | None, first: bool
) -> None:
    """A text-only deployment refuses lines with images, saying where; words about images are no images; others take all."""
    data = b"" if first else line(custom_id="first", url=endpoint, body={"model": DEPLOYMENT, key: "Hello"})
    if key == "messages" and data:
        data = line(custom_id="first")
    data += line(url=endpoint, body={"model": DEPLOYMENT, key: payload})
    assert check(data, endpoint=endpoint).errors == []
    expected = [] if place is None else [("invalid_request", f"body.{place}", 1 if first else 2)]
    assert faults(data, endpoint=endpoint, deployments=BLIND) == expected


@pytest.mark.parametrize("letter", ["i", "m", "_", "u"])
def test_escapes_hide_no_image(letter: str) -> None:
    """A type whose letters are written as escapes is the same type."""
    data = line(custom_id="first") + line(body=body(messages=[{"role": "user", "content": [IMAGE]}]))
    hidden = data.replace(b"image_url", b"image_url".replace(letter.encode(), rf"\u{ord(letter):04x}".encode()))
    assert faults(hidden, deployments=BLIND) == [("invalid_request", "body.messages[0].content[0]", 2)]


# What a batch does not do


@pytest.mark.parametrize("family", ["azure", "openai"])
def test_data_sources_are_refused(family: str) -> None:
    """Azure OpenAI On Your Data is not for batches: better said than answered without the data."""
    data = line() + line(custom_id="b", body=body(data_sources=[{"type": "azure_search"}]))
    error = only_fault(data, family=family)
    assert (error.code, error.param, error.line) == ("invalid_request", "body.data_sources", 2)
    assert "On Your Data" in error.message
    nothing = line().replace(b'"model"', b'"data_sources": null, "model"')
    assert check(nothing, family=family).errors == []


@pytest.mark.parametrize(("family", "code"), [("azure", "url_mismatch"), ("openai", "invalid_url")])
@pytest.mark.parametrize(
    "url", ["/assistants", "/threads/t/runs", "/v1/assistants/a", "/openai/threads", "/openai/v1/threads/runs/"]
)
def test_lines_for_assistants_are_told_so(url: str, family: str, code: str) -> None:
    """A line for the Assistants API has the code of a wrong url, and a message that says why no url of that kind would do."""
    error = only_fault(line() + line(custom_id="b", url=url), family=family)
    assert (error.code, error.param, error.line) == (code, "url", 2)
    assert error.message.startswith("Assistants and threads are not supported in a batch.")


@pytest.mark.parametrize("url", ["/threadsx", "/my/threads", "threadbare", "/", "x", "/v1"])
def test_other_urls_are_only_wrong(url: str) -> None:
    """A url that has the word somewhere else is a wrong url like any other."""
    assert "Assistants" not in only_fault(line(url=url)).message


# How many embeddings


def embeddings(*inputs: object) -> bytes:
    """A file of requests for embeddings."""
    return b"".join(
        line(custom_id=str(number), url="/embeddings", body={"model": DEPLOYMENT, "input": given})
        for number, given in enumerate(inputs)
    )


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize(
    ("inputs", "count"),
    [
        (["a", "b", "c"], 3),
        ([["a", "b", "c"]], 3),
        ([[1, 2, 3, 4, 5]], 1),
        ([[[1, 2], [3], [4, 5]]], 3),
        (["a", [1, 2], ["b", "c"], [[1], [2]]], 6),
        ([["[1, 2]"]], 1),
        ([[-1, 2]], 1),
    ],
)
def test_embedding_inputs_are_counted_over_the_file(inputs: list[object], count: int, family: str) -> None:
    """A text is one input, an array of token ids too, an array of such its length; too many are a fault of the file."""
    data = embeddings(*inputs)
    more = {"family": family, "endpoint": "/embeddings"}
    assert check(data, embedding_inputs_max=count, **more).errors == []  # type: ignore[arg-type]
    assert check(data, embedding_inputs_max=0, **more).errors == []  # type: ignore[arg-type]
    if count > 1:
        assert faults(data, embedding_inputs_max=count - 1, **more) == [("too_many_tasks", "body.input", None)]
        assert f"{count:,}" in only_fault(data, embedding_inputs_max=count - 1, **more).message


def test_only_embeddings_have_a_limit_of_inputs() -> None:
    """The inputs of moderations and responses are no embeddings."""
    data = line(url="/moderations", body={"model": DEPLOYMENT, "input": ["a", "b", "c"]})
    assert check(data, endpoint="/moderations", embedding_inputs_max=1).errors == []


def test_faults_of_the_file_come_before_those_of_lines() -> None:
    """Both limits at once are two faults, before those of lines; and the list stays as short as it must be."""
    data = embeddings("a", ["b", "c"], 5, "d", "e")
    more = {"endpoint": "/embeddings", "lines_max": 4, "embedding_inputs_max": 2}
    assert faults(data, **more) == [
        ("too_many_tasks", None, None),
        ("too_many_tasks", "body.input", None),
        ("invalid_request", "body.input", 3),
    ]
    verdict = check(data, errors_max=1, **more)  # type: ignore[arg-type]
    assert [error.message for error in verdict.errors][1:] == ["2 more lines are wrong."]


def test_no_limit() -> None:
    """A limit of 0 is none."""
    assert check(b"".join(line(custom_id=str(number)) for number in range(50)), lines_max=0).errors == []
