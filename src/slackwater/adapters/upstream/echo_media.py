"""Pictures, videos and sounds of the built-in backend: small, whole files, the same for the same request every time.

A video is its object alone, and is made at once: there is nothing to be fetched.
"""

import struct
import zlib
from base64 import b64encode
from hashlib import shake_256
from typing import Any

from slackwater.adapters.upstream.echo_words import words_in

SIDE = 8
SAMPLES_A_SECOND = 8000
# A tenth of a second for each word, and no more than this of them.
WORDS_MAX = 100
WAV, PCM = "audio/wav", "audio/pcm"


def drawn(seed: str) -> bytes:
    """A PNG of 8 x 8 pixels in one colour (RFC 2083)."""
    colour = shake_256(seed.encode()).digest(3)
    rows = b"".join(b"\0" + colour * SIDE for _ in range(SIDE))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    pieces = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(_chunk, pieces))


def pictures(request: dict[str, Any], identity: str) -> dict[str, Any]:
    """As many pictures as are asked for. A token is a word, and each picture is one."""
    count = int(request.get("n") or 1)
    asked, seen = words_in(request["prompt"]), len(request.get("images") or [])
    data = [{"b64_json": b64encode(drawn(f"{identity} {index}")).decode()} for index in range(count)]
    return {
        "created": 0,
        "data": data,
        "output_format": "png",
        "usage": {
            "input_tokens": asked + seen,
            "input_tokens_details": {"text_tokens": asked, "image_tokens": seen},
            "output_tokens": count,
            "total_tokens": asked + seen + count,
        },
    }


def video(request: dict[str, Any], identity: str) -> dict[str, Any]:
    """The object of a video that has been made."""
    return {
        "id": f"video_{identity}",
        "object": "video",
        "model": "echo",
        "status": "completed",
        "progress": 100,
        "created_at": 0,
        "completed_at": 0,
        "expires_at": None,
        "prompt": request["prompt"],
        "seconds": request.get("seconds") or "4",
        "size": request.get("size") or "720x1280",
        "remixed_from_video_id": None,
        "error": None,
    }


def spoken(request: dict[str, Any]) -> tuple[str, bytes]:
    """The content type and the bytes of silence, as long as it takes to say the words.

    Bare samples where `pcm` is asked for, else a WAV, whatever is: nothing here packs sound.
    """
    samples = bytes(2 * (SAMPLES_A_SECOND // 10) * min(WORDS_MAX, max(1, len(request["input"].split()))))
    if request.get("response_format") == "pcm":
        return PCM, samples
    rate = SAMPLES_A_SECOND
    head = struct.pack("<4sIHHIIHH4sI", b"fmt ", 16, 1, 1, rate, 2 * rate, 2, 16, b"data", len(samples))
    return WAV, b"RIFF" + struct.pack("<I", 4 + len(head) + len(samples)) + b"WAVE" + head + samples


def _chunk(piece: tuple[bytes, bytes]) -> bytes:
    name, data = piece
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
