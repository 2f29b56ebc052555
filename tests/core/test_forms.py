"""Edits of images and videos as forms: what a strict reader of multipart finds in them, and what none can be made of."""

import base64
import json
from email.parser import BytesParser
from email.policy import HTTP
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.endpoints import IMAGE_EDITS, VIDEOS
from slackwater.core.sending.forms import NoForm, form_of

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
PICTURE = "data:image/png;base64," + base64.b64encode(PNG).decode()
ADDRESS = "https://a.example/b.png"


def parts(path: str, body: Any) -> list[tuple[str, str | None, str | None, bytes]]:
    """Name, file name, type and bytes of each part, as a reader of messages sees them."""
    kind, form = form_of(path, json.dumps(body).encode())
    whole = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + kind + b"\r\n\r\n" + form)
    found = []
    for part in whole.iter_parts():
        name = part.get_param("name", header="content-disposition")
        typed = part.get_content_type() if "content-type" in part else None
        assert isinstance(name, str)
        found.append((name, part.get_filename(), typed, part.get_payload(decode=True)))
    return found


def test_one_picture_and_a_mask_are_files() -> None:
    """As OpenAI's client sends them; everything else is a field."""
    body = {"model": "m", "prompt": "more\r\nsea", "images": [{"image_url": PICTURE}], "mask": {"image_url": PICTURE}}
    assert parts(IMAGE_EDITS, body | {"n": 2, "seed": None, "true_cfg_scale": 1.5, "extra": {"a": [1]}}) == [
        ("model", None, None, b"m"),
        ("prompt", None, None, b"more\r\nsea"),
        ("image", "image.png", "image/png", PNG),
        ("mask", "mask.png", "image/png", PNG),
        ("n", None, None, b"2"),
        ("true_cfg_scale", None, None, b"1.5"),
        ("extra", None, None, b'{"a": [1]}'),
    ]


def test_several_pictures_and_addresses() -> None:
    """Addresses go where engines fetch them from."""
    images = [{"image_url": PICTURE}, {"image_url": ADDRESS}, {"image_url": PICTURE.replace("data", "DATA")}]
    assert [part[:2] for part in parts(IMAGE_EDITS, {"images": images})] == [
        ("image[]", "image.png"),
        ("image[]", "image.png"),
        ("url", None),
    ]
    assert [part[0] for part in parts(IMAGE_EDITS, {"images": [{"image_url": ADDRESS}] * 2})] == ["url[]", "url[]"]
    assert parts(IMAGE_EDITS, {"image": PICTURE, "tags": ["a", 1]}) == [
        ("image", None, None, PICTURE.encode()),
        ("tags[]", None, None, b"a"),
        ("tags[]", None, None, b"1"),
    ]


def test_videos() -> None:
    """A picture to begin with is a file, or an address in the form that vLLM-Omni reads."""
    assert parts(VIDEOS, {"prompt": "a wave", "seconds": "8", "input_reference": {"image_url": PICTURE}}) == [
        ("prompt", None, None, b"a wave"),
        ("seconds", None, None, b"8"),
        ("input_reference", "input_reference.png", "image/png", PNG),
    ]
    (part,) = parts(VIDEOS, {"input_reference": {"image_url": ADDRESS}})
    assert part == ("image_reference", None, None, json.dumps({"image_url": ADDRESS}, separators=(",", ":")).encode())


@pytest.mark.parametrize(
    ("path", "body", "said"),
    [
        (IMAGE_EDITS, {"images": [{"image_url": PICTURE}, {"file_id": "file-1"}]}, r"images\[1\] is a file_id"),
        (IMAGE_EDITS, {"mask": {"image_url": ADDRESS}}, "the mask is an address"),
        (IMAGE_EDITS, {"images": [{"image_url": "data:image/png;base64,A"}]}, "cannot be read"),
        (IMAGE_EDITS, {"images": [{"image_url": "data:image/png;base64,ä"}]}, "cannot be read"),
        (IMAGE_EDITS, {"images": [{"image_url": "data:AAAA"}]}, "is no data URL"),
        (IMAGE_EDITS, {"images": [{"image_url": 'data:image/p"ng;base64,AAAA'}]}, "is no data URL"),
        (VIDEOS, {"input_reference": {"file_id": "file-1"}}, "input_reference is a file_id"),
    ],
)
def test_what_no_form_can_be_made_of(path: str, body: Any, said: str) -> None:
    """It is said which field, and what to do."""
    with pytest.raises(NoForm, match=said):
        form_of(path, json.dumps(body).encode())


def test_a_name_cannot_break_out_of_its_place() -> None:
    """Keys of a body are a stranger's."""
    kind, form = form_of(VIDEOS, json.dumps({'a"; filename="b\r\n\r\nc': "d"}).encode())
    assert form.count(b"\r\n\r\n") == 1
    assert b'name="a%22; filename=%22b%0D%0A%0D%0Ac"' in form
    assert kind.startswith(b"multipart/form-data; boundary=")


@given(
    st.dictionaries(st.text(min_size=1, max_size=8), st.text(max_size=40) | st.integers() | st.booleans(), max_size=6)
)
def test_every_field_arrives(body: dict[str, Any]) -> None:
    """Nothing that a text may hold ends a part."""
    _, form = form_of(VIDEOS, json.dumps(body).encode())
    for value in body.values():
        text = value if isinstance(value, str) else json.dumps(value)
        assert b"\r\n\r\n" + text.encode() + b"\r\n--" in form
