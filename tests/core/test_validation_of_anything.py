"""What holds for any input file: the short way decides like the long way, and anything at all is answered."""

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.input.line_judge import Rules
from slackwater.core.input.validation import InputChecker, is_blank
from slackwater.core.input.whole_file import BOM
from slackwater.core.sending.deployment import Capabilities
from tests.core.input_lines import DEPLOYMENT, body, check, line


class LongWay(InputChecker):
    """A checker that explains every line, as it otherwise explains only the wrong and the first."""

    def _fits(self, line: bytes) -> bool:
        return False


FORMATS: list[object] = [
    *({"type": kind} for kind in ("text", "json_object", "json_schema", "json-schema", "regex", 5)),
    *({"type": "json_schema", "json_schema": {"name": name, "schema": {}}} for name in ("x", "a\n", "", 5)),
    *(
        {"type": "json_schema", "name": "x", "schema": schema, "strict": strict}
        for schema in ({}, [])
        for strict in (True, 1)
    ),
    "x",
    {},
]
# One change each to a line that is fine, in all the ways that a rule looks at.
CHANGES: list[dict[str, object]] = [
    {},
    {"custom_id": None},
    {"custom_id": ""},
    {"custom_id": 1},
    {"custom_id": "\u00e9" * 40},
    {"method": "GET"},
    {"method": None},
    {"url": "/v1/chat/completions"},
    {"url": "/responses"},
    {"url": None},
    {"extra": [1]},
    {"body": None},
    {"body": "x"},
    *({"body": body(stream=stream)} for stream in (True, False, "yes", 0)),
    *({"body": body(model=model)} for model in (None, "", "other", 5)),
    *({"body": body(messages=messages)} for messages in (None, [], "x", {}, 0, [[]])),
    *({"body": body(messages=[{"content": [part]}])} for part in ({"type": "image_url"}, {"text": "image"}, 5)),
    *({"body": body(response_format=value)} for value in FORMATS),
    *({"body": body(text={"format": value})} for value in FORMATS),
    *({"body": body(input=value) | {"messages": None}} for value in ("x", ["x", "y"], [1, 2], [[1], [2]], [], 5)),
    {"body": body(data_sources=[])},
    {"body": body(data_sources=False)},
]


@pytest.mark.parametrize("family", ["azure", "openai"])
# No deadlines: that a shared machine is slow is no failure.
@given(
    rows=st.lists(st.tuples(st.sampled_from(CHANGES), st.sampled_from("abcdef")), max_size=8),
    endpoint=st.sampled_from(["/chat/completions", "/responses", "/embeddings"]),
    images=st.booleans(),
)
def test_the_short_way_never_differs_from_the_long_way(
    family: str, rows: list[tuple[dict[str, object], str]], endpoint: str, images: bool
) -> None:
    """What decides quickly that a line is fine agrees with what explains what is wrong with it."""
    deployments = {DEPLOYMENT: Capabilities(images=images)}
    rules = Rules(family=family, endpoint=endpoint, deployments=deployments, embedding_inputs_max=3)
    short, long = InputChecker(rules), LongWay(rules)
    for changes, name in rows:
        text = line(**({"custom_id": name, "url": endpoint} | changes))
        short.feed(text)
        long.feed(text)
        assert short.faultless is long.faultless
    assert short.finish() == long.finish()


@pytest.mark.parametrize("family", ["azure", "openai"])
@pytest.mark.parametrize("changes", [changes for changes in CHANGES if changes.get("url") != "/responses"])
def test_a_rule_holds_on_every_line(changes: dict[str, object], family: str) -> None:
    """What is refused on the first line is refused, in the same words, on a later one."""
    data = line(**({"custom_id": "b"} | changes))
    alone = check(data, family=family, deployments=None).errors
    later = check(line() + data, family=family, deployments=None).errors
    if not alone:
        # Only the model depends on what came before.
        assert {error.code for error in later} <= {"model_mismatch", "mismatched_model"}
        return
    assert [(error.code, error.param, error.line) for error in later] == [(alone[0].code, alone[0].param, 2)]


PIECES = [
    line(),
    line(custom_id="b"),
    line(method="GET"),
    b"\n",
    b" \r\n",
    b"{",
    b'"',
    BOM,
    b"\xff",
    b"[1]\n",
    b"null\n",
]


@given(
    st.one_of(st.binary(max_size=400), st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join)),
    st.sampled_from(["azure", "openai"]),
    st.integers(1, 5),
)
def test_anything_is_answered(data: bytes, family: str, errors_max: int) -> None:
    """Whatever the bytes: no exception, errors in line order and capped, and as many counted as lines can be wrong."""
    verdict = check(data, family=family, errors_max=errors_max)
    lines = [error.line for error in verdict.errors if error.line is not None]
    assert lines == sorted(set(lines))
    assert verdict.total == sum(not is_blank(text) for text in io.BytesIO(data))
    assert verdict.error_count <= max(verdict.total, 1)
    assert (verdict.error_count == 0) is (verdict.errors == [])
    if verdict.total > 1 and verdict.errors and verdict.errors[0].message.startswith("The file is"):
        # What the file is instead is said once, and nothing of its lines.
        assert verdict.error_count == 1
    kept = verdict.errors if verdict.error_count <= errors_max else verdict.errors[:-1]
    assert len(kept) == min(verdict.error_count, errors_max)
    if verdict.errors == []:
        for text in io.BytesIO(data):
            assert is_blank(text) or json.loads(text)["method"] == "POST"


@given(
    st.lists(
        st.one_of(
            st.sampled_from([b"", b"  ", b"\t"]),
            st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=80),
        ),
        max_size=20,
        unique=True,
    ),
    st.sampled_from([b"\n", b"\r\n"]),
    st.booleans(),
    st.booleans(),
)
def test_valid_files_are_accepted(rows: list[bytes | str], end: bytes, ends: bool, ascii: bool) -> None:
    """Any ids, any blank lines between them, any line ends: the file is accepted and every request counted."""
    texts = [
        row if isinstance(row, bytes) else json.dumps(json.loads(line(custom_id=row)), ensure_ascii=ascii).encode()
        for row in rows
    ]
    data = end.join(texts) + end * ends
    verdict = check(data, endpoint="/v1/chat/completions")
    requests = sum(isinstance(row, str) for row in rows)
    assert verdict.total == requests
    assert [error.code for error in verdict.errors] == ([] if requests else ["empty_file"])
