"""What is made of answers of images, videos, rerank, score, messages and speech: kept, refused, counted, wrapped."""

import base64
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.accounts.usage import Usage
from slackwater.core.endpoints import IMAGE_EDITS, IMAGES, MESSAGES, RERANK, SCORE, SPEECH, VIDEOS
from slackwater.core.sending.answer_kinds import Answer, ErrorInside, Unreadable
from slackwater.core.sending.answers import read_answer
from slackwater.core.sending.binary_answers import media_type, read_reply, wrap_in_place
from slackwater.core.sending.request import Reply

VIDEO = {"id": "video_1", "object": "video", "model": "m", "status": "completed", "progress": 100}
SAYS = {"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "end_turn"}
UNITS = {"search_units": 1}
MP3 = b"\xff\xfb\x90\x64" + bytes(range(256))


def text(value: object) -> bytes:
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("path", "value", "usage"),
    [
        (
            IMAGES,
            {
                "created": 1,
                "data": [{"b64_json": "AAAA"}],
                "usage": {"input_tokens": 9, "output_tokens": 272, "total_tokens": 281},
            },
            (9, 0, 272),
        ),
        (IMAGES, {"created": 1, "data": [{"url": "https://a.example/b.png"}]}, None),
        (IMAGE_EDITS, {"created": 1, "data": [{"b64_json": "AAAA"}]}, None),
        (VIDEOS, VIDEO, None),
        (
            RERANK,
            {"id": "r", "results": [{"index": 0, "relevance_score": 0.5}], "usage": {"total_tokens": 56}},
            (56, 0, 0),
        ),
        (RERANK, {"results": [{"index": 0}], "usage": {"prompt_tokens": 56, "total_tokens": 56}}, (56, 0, 0)),
        (
            RERANK,
            {
                "results": [{"index": 0}],
                "meta": {"billed_units": {"search_units": 1}, "tokens": {"input_tokens": 31, "output_tokens": 0}},
            },
            (31, 0, 0),
        ),
        (RERANK, {"results": [{"index": 0}], "meta": {"billed_units": {"search_units": 1}}}, None),
        (SCORE, {"data": [{"index": 0, "score": 0.1}], "usage": {"prompt_tokens": 7, "total_tokens": 7}}, (7, 0, 0)),
        (SCORE, {"scores": [[0.1, 0.9]], "object": "scoring"}, None),
        (
            MESSAGES,
            SAYS | {"content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 3, "output_tokens": 2}},
            (3, 0, 2),
        ),
        (
            MESSAGES,
            SAYS
            | {
                "content": [],
                "usage": {
                    "input_tokens": 3,
                    "output_tokens": 2,
                    "cache_read_input_tokens": 100,
                    "cache_creation_input_tokens": 20,
                },
            },
            (123, 100, 2),
        ),
    ],
)
def test_answers_keep_their_bytes_and_are_counted(path: str, value: Any, usage: tuple[int, int, int] | None) -> None:
    """Usage is found under each of its names, and nothing else of an answer is touched."""
    found = read_answer(text(value), path=path)
    expected = None
    if usage is not None:
        expected = Usage(input_tokens=usage[0], cached_tokens=usage[1], output_tokens=usage[2])
    assert found == Answer(expected, value.get("model"), text(value))


@pytest.mark.parametrize("path", [IMAGES, IMAGE_EDITS, VIDEOS, RERANK, SCORE, MESSAGES, SPEECH])
@pytest.mark.parametrize(
    "body", [b"", b"{}", b"<html>Sign in</html>", b"null", b'{"status":"ok"}', b'{"data":[],"results":[]}']
)
def test_nothing_of_use_is_no_success(path: str, body: bytes) -> None:
    """A good status does not make an answer of an empty body, a web page, or an object without what was asked for."""
    assert isinstance(read_reply(Reply(200, body, content_type="audio/mpeg"), path=path), Unreadable)


@pytest.mark.parametrize("path", [IMAGES, IMAGE_EDITS, VIDEOS, RERANK, SCORE, MESSAGES, SPEECH])
def test_an_error_in_a_good_status_counts_as_what_it_says(path: str) -> None:
    """Under whatever type it comes."""
    body = text({"error": {"message": "The engine is full", "code": "rate_limit_exceeded"}})
    for kind in ("application/json", "audio/mpeg", None):
        found = read_reply(Reply(200, body, content_type=kind), path=path)
        assert isinstance(found, ErrorInside)
        assert found.status == 429


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({"status": "failed", "error": {"code": "moderation_blocked", "message": "no"}}, 400),
        ({"status": "failed", "error": {"code": "oops", "message": "no"}}, 500),
        ({"status": "failed", "error": None}, 500),
        ({"status": "expired"}, 500),
        ({"status": "cancelled"}, 500),
    ],
)
def test_a_video_that_was_not_made_is_no_answer(more: dict[str, object], status: int) -> None:
    """It ends like any other request that failed, and can be tried again."""
    found = read_answer(text(VIDEO | more), path=VIDEOS)
    assert isinstance(found, ErrorInside)
    assert found.status == status


def test_a_bare_ranking_is_made_an_object() -> None:
    """SGLang answers with an array; a line's body is an object."""
    items = [{"score": 0.9, "document": "ebb", "index": 0, "meta_info": {}}, {"score": -1.5, "index": 1}]
    found = read_answer(json.dumps(items, indent=1).encode(), path=RERANK)
    assert isinstance(found, Answer)
    assert found.mended
    assert b"\n" not in found.body
    assert json.loads(found.body) == {"results": items}
    for other in ([], [1], [{"text": "a"}], [{"score": 1}, {"error": "no"}]):
        assert isinstance(read_answer(text(other), path=RERANK), Unreadable)
    assert isinstance(read_answer(text(items), path=SCORE), Unreadable)


# Bytes


@pytest.mark.parametrize(
    ("body", "said", "kind"),
    [
        (MP3, "audio/mpeg", "audio/mpeg"),
        (MP3, None, "audio/mpeg"),
        (MP3, "text/html; charset=utf-8", "audio/mpeg"),
        (MP3, "application/json", "audio/mpeg"),
        (b"ID3\x04" + bytes(20), "Audio/MP3; rate=1", "audio/mp3"),
        (b"RIFF....WAVEfmt ", "text/plain", "audio/wav"),
        (b"OggS" + bytes(20), None, "audio/ogg"),
        (b"\xff\xf1" + bytes(20), None, "audio/aac"),
        (b"{\x00\x01\x7f" * 20, "audio/pcm", "audio/pcm"),
        (b"<\x00\x01\x7f" * 20, "audio/pcm", "audio/pcm"),
        (b"{\x00\x01\x7f" * 20, None, "application/octet-stream"),
        (bytes(100), "text/plain", "application/octet-stream"),
        (bytes(100), 'audio/"}{', "application/octet-stream"),
        (bytes(100), "audio/" + "x" * 500, "application/octet-stream"),
        (b"", "audio/mpeg", None),
        (b"<!DOCTYPE html><title>502</title>", "audio/mpeg", None),
        (b"  \n<html>", None, None),
        (b'{"error":"no"}', "audio/mpeg", None),
        (b"Internal Server Error", "text/plain", None),
        (b"Internal Server Error", None, None),
        ("Überlastet".encode(), "text/plain", None),
    ],
)
def test_what_the_bytes_are_counts_before_what_is_said_of_them(body: bytes, said: str | None, kind: str | None) -> None:
    """A label proves little."""
    assert media_type(body, said) == kind


def test_speech_is_kept_in_base64_with_its_type() -> None:
    """One object on one line; nothing of the bytes is lost."""
    found = read_reply(Reply(200, MP3, content_type="audio/mpeg"), path=SPEECH)
    assert isinstance(found, Answer)
    read = json.loads(found.body)
    assert base64.b64decode(read.pop("base64"), validate=True) == MP3
    assert read == {"object": "binary", "content_type": "audio/mpeg", "bytes": len(MP3)}
    assert found.usage is None


def test_json_with_audio_in_it_is_an_answer_as_it_came() -> None:
    """Some engines have an API of their own behind that path."""
    body = text({"audio": "AAAA", "usage": {"input_tokens": 5, "output_tokens": 80}})
    found = read_reply(Reply(200, body, content_type="application/json"), path=SPEECH)
    assert found == Answer(Usage(input_tokens=5, output_tokens=80), None, body)


@given(st.binary(max_size=200), st.sampled_from([3, 6, 99]))
def test_large_bytes_are_wrapped_where_they_lie(data: bytes, piece: int) -> None:
    """Piece by piece, with the same outcome as at once."""
    body = bytearray(data)
    wrap_in_place(body, "audio/mpeg", piece_bytes=piece)
    read = json.loads(bytes(body))
    assert base64.b64decode(read["base64"], validate=True) == data
    assert read["bytes"] == len(data)


@given(st.binary(max_size=300), st.none() | st.text(max_size=40))
def test_nothing_that_comes_is_too_strange(body: bytes, said: str | None) -> None:
    """Whatever a stranger sends is an answer, an error or nothing, and an answer is one line of JSON."""
    found = read_reply(Reply(200, body, content_type=said), path=SPEECH)
    if isinstance(found, Answer):
        assert b"\n" not in found.body
        json.loads(found.body)
