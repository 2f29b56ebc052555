"""Every sample of the contract gives the codes that the contract names, at the lines that it names."""

from pathlib import Path

import pytest

from slackwater.core.input.validation import is_blank
from tests.core.input_lines import DEPLOYMENT, body, check, line

SAMPLES = Path(__file__).parent.parent / "samples" / "input"

ACCEPTED: list[tuple[str, int | None]] = []
# Per sample: what Azure's family answers, what OpenAI's does (code and line), and the endpoint of the batch.
SAMPLE_ANSWERS: dict[str, tuple[list[tuple[str, int | None]], list[tuple[str, int | None]], str]] = {
    "ok_chat_azure.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "ok_chat_v1_url.jsonl": (ACCEPTED, ACCEPTED, "/v1/chat/completions"),
    "ok_image_url.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "ok_responses.jsonl": (ACCEPTED, ACCEPTED, "/v1/responses"),
    "ok_structured_outputs.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "edge_blank_lines.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "edge_crlf.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "edge_no_trailing_newline.jsonl": (ACCEPTED, ACCEPTED, "/chat/completions"),
    "bad_json_line.jsonl": ([("invalid_json_line", 2)], [("invalid_json_line", 2)], "/chat/completions"),
    "bad_not_object.jsonl": (
        [("invalid_request", 1), ("invalid_request", 2), ("invalid_request", 3)],
        [("invalid_request", 1), ("invalid_request", 2), ("invalid_request", 3)],
        "/chat/completions",
    ),
    "bad_missing_fields.jsonl": (
        [("invalid_request", line) for line in (1, 2, 3, 4)],
        [("missing_required_parameter", line) for line in (1, 2, 3, 4)],
        "/chat/completions",
    ),
    "bad_method_get.jsonl": ([("invalid_request", 1)], [("invalid_request", 1)], "/chat/completions"),
    "bad_url_mismatch.jsonl": ([("url_mismatch", 2)], [("invalid_url", 2)], "/chat/completions"),
    "bad_model_mismatch.jsonl": ([("model_mismatch", 2)], [("mismatched_model", 2)], "/chat/completions"),
    "bad_stream_true.jsonl": ([("invalid_request", 1)], [("streaming_unsupported", 1)], "/chat/completions"),
    "bad_duplicate_custom_id.jsonl": (
        [("duplicate_custom_id", 2)],
        [("duplicate_custom_id", 2)],
        "/chat/completions",
    ),
    "bad_empty.jsonl": ([("empty_file", None)], [("empty_file", None)], "/chat/completions"),
    "bad_whitespace_only.jsonl": ([("empty_file", None)], [("empty_file", None)], "/chat/completions"),
    "bad_utf8_bom.jsonl": ([("invalid_request", None)], [("invalid_json_line", 1)], "/chat/completions"),
    "bad_utf16le.jsonl": (
        [("invalid_json_line", 1)],
        [("invalid_json_line", 1)],
        "/chat/completions",
    ),
}


def test_every_sample_has_an_answer() -> None:
    """No sample of the contract is left out."""
    assert {path.name for path in SAMPLES.iterdir()} == SAMPLE_ANSWERS.keys()


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize("name", SAMPLE_ANSWERS)
def test_samples_give_the_codes_of_the_contract(name: str, family: str) -> None:
    """Every sample is accepted, or refused with exactly the codes and line numbers of the contract, in both families."""
    azure, openai, endpoint = SAMPLE_ANSWERS[name]
    verdict = check((SAMPLES / name).read_bytes(), family=family, endpoint=endpoint)
    expected = azure if family == "azure" else openai
    assert [(error.code, error.line) for error in verdict.errors] == expected
    assert verdict.error_count == len(expected)


@pytest.mark.parametrize("name", [name for name in SAMPLE_ANSWERS if name.startswith(("ok", "edge"))])
def test_azure_takes_either_spelling_and_responses_as_chat(name: str) -> None:
    """An Azure batch of /chat/completions takes urls with and without /v1, and files of /responses throughout."""
    verdict = check((SAMPLES / name).read_bytes())
    assert verdict.errors == []
    assert verdict.endpoint == ("/responses" if name == "ok_responses.jsonl" else "/chat/completions")
    assert verdict.deployment == DEPLOYMENT
    assert verdict.total == sum(not is_blank(text) for text in (SAMPLES / name).read_bytes().split(b"\n"))


def test_exact_texts() -> None:
    """The texts that are known to the letter are used to the letter."""
    bom = check((SAMPLES / "bad_utf8_bom.jsonl").read_bytes()).errors[0]
    assert bom.message == (
        "Validation failed: A valid model deployment name couldn't be extracted from the input file. Please ensure that "
        "each row in the input file has a valid deployment name specified in the 'model' field, and that the deployment "
        "name is consistent across all rows."
    )
    empty = check(b"").errors[0]
    assert empty.message == "The input file is empty. Please ensure that the batch contains at least one request."
    data = (
        line(body=body(stream=True))
        + line(url="/v1/embeddings")
        + b"{\n"
        + line(custom_id=None)
        + line(body=body(model="x"))
    )
    # What is ours comes behind them.
    texts = [(error.param, error.message.partition(" Column ")[0]) for error in check(data, family="openai").errors]
    assert texts[:4] == [
        ("body.stream", "Chat Completions: Streaming is not supported in the Batch API."),
        ("url", "The URL provided for this request does not match the batch endpoint."),
        (None, "This line is not parseable as valid JSON."),
        ("custom_id", "Missing required parameter: 'custom_id'."),
    ]
    unknown = check(line(body=body(model="x")), family="openai").errors[0]
    assert unknown.message == "The provided model 'x' is not supported by the Batch API."
    assert (unknown.param, unknown.line) == ("body.model", 1)
