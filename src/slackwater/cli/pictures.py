"""Pictures of rows, as requests carry them: addresses stay, files become data URLs."""

import base64
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from slackwater.core.errors import InvalidRequest
from slackwater.core.rows.template import value_of

# What the vendors take (https://platform.openai.com/docs/guides/images-vision, 2026-11), by their first bytes.
_KINDS = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
)
PICTURE_BYTES_MAX = 50 << 20
ADDRESSES = ("https://", "http://", "data:")


def pictures_of(row: Mapping[str, Any], columns: tuple[str, ...], beside: Path) -> list[str]:
    """The addresses in these columns; an empty cell has none, a list several. Raises InvalidRequest."""
    found: list[str] = []
    for column in columns:
        value = value_of(row, column)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, bytes):
                found.append(_data_url(each, column))
            elif each is not None and not isinstance(each, str):
                raise InvalidRequest(f"'{column}' has neither a path nor a URL")
            elif each and each.strip():
                found.append(_address(each.strip(), beside))
    return found


def _address(text: str, beside: Path) -> str:
    if text.lower().startswith(ADDRESSES):
        return text
    path = beside / Path(text).expanduser()
    try:
        found = path.stat()
        # A device or a pipe may never end.
        if not stat.S_ISREG(found.st_mode):
            raise InvalidRequest(f"the picture {path} is no file")
        if found.st_size > PICTURE_BYTES_MAX:
            raise InvalidRequest(f"the picture {path} has more than {PICTURE_BYTES_MAX >> 20} MiB; make it smaller")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidRequest(f"the picture {path}: {error.strerror}; paths are looked for beside INPUT") from error
    return _data_url(data, str(path))


def _data_url(data: bytes, name: str) -> str:
    kind = next((kind for begin, kind in _KINDS if data.startswith(begin)), None)
    if kind is None and data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        kind = "image/webp"
    if kind is None:
        raise InvalidRequest(f"the picture {name} is neither PNG, JPEG, GIF nor WebP")
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"
