"""A request as a form: how engines take pictures to be edited, and videos, which a line has in JSON.

OpenAI's batch takes these endpoints in JSON alone, with pictures as `image_url` or `file_id` (Batch guide, 2026). Its own
clients, and with them vLLM-Omni, SGLang and most others who have these endpoints, speak multipart. A data URL becomes a file;
an address stays one, under the names that vLLM-Omni, SGLang and Dynamo have for it (`url`, and `image_reference` of a video).
"""

import binascii
import re
import urllib.parse
from collections.abc import Iterator
from hashlib import blake2b

import msgspec
from msgspec import Raw

from slackwater.core.endpoints import IMAGE_EDITS, VIDEOS

FORMED = frozenset({IMAGE_EDITS, VIDEOS})
# The settings of a backend.
AUTO, JSON, FORM = "auto", "json", "form"
_MEDIA = re.compile(r"[a-z0-9!#$&^_.+-]{1,100}/([a-z0-9!#$&^_.+-]{1,100})")
_ESCAPED = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_list = msgspec.json.Decoder(list[Raw]).decode


class NoForm(ValueError):
    """A request that cannot be sent as a form. The message says why, and what to do."""


def form_of(path: str, body: bytes) -> tuple[bytes, bytes]:
    """The content type and the body of a form that asks for what a JSON body asks for. Raises NoForm."""
    boundary = b"slackwater-" + blake2b(body, digest_size=16).hexdigest().encode()
    pieces = []
    for name, kind, value in _parts(path, _fields(body)):
        head = f'Content-Disposition: form-data; name="{name.translate(_ESCAPED)}"'
        if kind is not None:
            head += f'; filename="{name.strip("[]")}.{kind.rpartition("/")[2]}"\r\nContent-Type: {kind}'
        pieces += [b"--%b\r\n%b\r\n\r\n" % (boundary, head.encode()), value, b"\r\n"]
    pieces.append(b"--%b--\r\n" % boundary)
    return b"multipart/form-data; boundary=" + boundary, b"".join(pieces)


def _parts(path: str, fields: dict[str, Raw]) -> Iterator[tuple[str, str | None, bytes]]:
    """Name, type where it is a file, and bytes of each part."""
    for name, value in fields.items():
        text = bytes(value)
        if text == b"null":
            continue
        if path == IMAGE_EDITS and name == "images":
            yield from _pictures(_list(value))
        elif path == IMAGE_EDITS and name == "mask":
            address = _address(value, "mask")
            if not address.startswith("data:"):
                raise NoForm("the mask is an address, which a form has no place for; give a data URL")
            yield "mask", *_file(address, "mask")
        elif path == VIDEOS and name == "input_reference":
            address = _address(value, name)
            if address.startswith("data:"):
                yield name, *_file(address, name)
            else:
                yield "image_reference", None, msgspec.json.encode({"image_url": address})
        elif (items := _scalars(text)) is not None:
            yield from ((f"{name}[]", None, _plain(item)) for item in items)
        else:
            yield name, None, _plain(text)


def _pictures(items: list[Raw]) -> Iterator[tuple[str, str | None, bytes]]:
    addresses = [_address(item, f"images[{index}]") for index, item in enumerate(items)]
    for kind, called in ((True, "image"), (False, "url")):
        found = [each for each in addresses if each.startswith("data:") is kind]
        # As OpenAI's clients call one, and several.
        name = called if len(found) == 1 else f"{called}[]"
        for each in found:
            if kind:
                yield name, *_file(each, "images")
            else:
                yield name, None, each.encode()


def _address(value: Raw, place: str) -> str:
    """What a picture is named by."""
    fields = _fields(value)
    if bytes(fields.get("file_id", b"null")) != b"null":
        raise NoForm(f"{place} is a file_id, which is known to the vendor that has the file; give a data URL")
    address = msgspec.json.decode(fields["image_url"], type=str)
    return "data:" + address[5:] if address[:5].lower() == "data:" else address


def _file(address: str, place: str) -> tuple[str, bytes]:
    """The type and the bytes of a data URL (RFC 2397)."""
    head, comma, data = address.removeprefix("data:").partition(",")
    kind, *parameters = (part.strip().lower() for part in head.split(";"))
    if not comma or not _MEDIA.fullmatch(kind):
        raise NoForm(f"{place} is no data URL such as data:image/png;base64,...")
    try:
        if "base64" in parameters:
            encoded = urllib.parse.unquote_to_bytes(data) if "%" in data else data.encode()
            return kind, binascii.a2b_base64(encoded, strict_mode=True)
        return kind, urllib.parse.unquote_to_bytes(data)
    except (binascii.Error, ValueError) as error:
        raise NoForm(f"{place} is a data URL whose base64 cannot be read: {error}") from error


def _scalars(text: bytes) -> list[bytes] | None:
    """The items of an array of strings and numbers, which has a field for each; None for all else."""
    if text[:1] != b"[":
        return None
    items = [bytes(item) for item in _list(text)]
    return items if items and all(item[:1] not in (b"{", b"[") for item in items) else None


def _plain(text: bytes) -> bytes:
    """A value as a field of a form: a string without its quotes, everything else as JSON has it."""
    return msgspec.json.decode(text, type=str).encode() if text[:1] == b'"' else text
