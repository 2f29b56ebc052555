"""JSON bodies against the types of the API document: what is missing, wrong or unknown."""

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.api.bodies import read_object
from slackwater.api.objects import CompleteUpload, NewBatch, NewUpload, RetryBatch
from slackwater.core.errors import InvalidRequest

BATCH = {"input_file_id": "f", "endpoint": "/v1/chat/completions", "completion_window": "24h"}
UPLOAD = {"purpose": "batch", "filename": "a", "bytes": 5, "mime_type": "text/jsonl"}


@pytest.mark.parametrize(
    ("kind", "body", "param", "code", "words"),
    [
        (NewBatch, BATCH | {"endpoint": None}, "endpoint", "missing_required_parameter", "Missing required parameter"),
        (
            NewBatch,
            BATCH | {"endpoint": 5},
            "endpoint",
            "invalid_type",
            "expected a string, but got an integer instead",
        ),
        (
            NewBatch,
            BATCH | {"metadata": []},
            "metadata",
            "invalid_type",
            "expected an object, but got an array instead",
        ),
        (
            NewBatch,
            BATCH | {"metadata": "x"},
            "metadata",
            "invalid_type",
            "expected an object, but got a string instead",
        ),
        (
            NewBatch,
            BATCH | {"output_expires_after": {"seconds": 7200}},
            "output_expires_after.anchor",
            "missing_required_parameter",
            "'output_expires_after.anchor'",
        ),
        (
            NewBatch,
            BATCH | {"output_expires_after": {"anchor": "now", "seconds": 7200}},
            "output_expires_after.anchor",
            "invalid_value",
            "Supported values are: 'created_at'",
        ),
        (
            NewBatch,
            BATCH | {"output_expires_after": {"anchor": "created_at", "seconds": 5}},
            "output_expires_after.seconds",
            "invalid_value",
            "between 3600 and 2592000",
        ),
        (NewUpload, UPLOAD | {"bytes": True}, "bytes", "invalid_type", "expected an integer, but got a boolean"),
        (NewUpload, UPLOAD | {"bytes": 1.5}, "bytes", "invalid_type", "got a number"),
        (NewUpload, UPLOAD | {"bytes": -1}, "bytes", "invalid_value", "at least 0"),
        (NewUpload, UPLOAD | {"bytes": 2**70}, "bytes", "invalid_value", "but got"),
        (NewUpload, UPLOAD | {"filename": "\ud800"}, "filename", "invalid_value", "surrogate"),
        (CompleteUpload, {"part_ids": ["a", 5]}, "part_ids[1]", "invalid_type", "expected a string"),
        (CompleteUpload, {"part_ids": "a"}, "part_ids", "invalid_type", "expected an array"),
    ],
)
def test_what_does_not_fit_is_named(kind: Any, body: dict[str, Any], param: str, code: str, words: str) -> None:
    """The parameter with its path, OpenAI's code, and a sentence that says what was expected."""
    with pytest.raises(InvalidRequest) as caught:
        read_object(body, kind)
    assert (caught.value.param, caught.value.code) == (param, code)
    assert words in caught.value.message


def test_unknown_fields_are_ignored() -> None:
    """Newer clients send what we do not know; null means the same as nothing."""
    read = read_object(BATCH | {"input_blobs": "x", "metadata": None, "output_expires_after": None}, NewBatch)
    assert read == NewBatch(input_file_id="f", endpoint="/v1/chat/completions", completion_window="24h")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(
    st.sampled_from([NewBatch, NewUpload, CompleteUpload, RetryBatch]),
    st.dictionaries(st.sampled_from([*BATCH, *UPLOAD, "metadata", "part_ids", "md5", "output_expires_after"]), JSON),
)
def test_no_body_upsets_it(kind: Any, body: dict[str, Any]) -> None:
    """Whatever JSON comes, it is read or refused in words."""
    with contextlib.suppress(InvalidRequest):
        assert isinstance(read_object(body, kind), kind)
