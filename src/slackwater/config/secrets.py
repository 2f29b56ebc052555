"""The keys under which secrets are sealed that people store over the API. They come from outside of the data, or not at all."""

import base64
import binascii
import re
from collections.abc import Mapping
from pathlib import Path

KEY_BYTES = 32
MAKE_ONE = "make one with: openssl rand -base64 32"
# What is said where something is to be stored, and there is no key.
NO_KEY = (
    "Keys cannot be stored here: there is no secrets key. Set secrets_key_env or secrets_key_file under [server] "
    f"({MAKE_ONE}), or name an environment variable that has the key"
)


def secrets_keys(env: str, file: str, *, folder: Path, environ: Mapping[str, str], faults: list[str]) -> list[bytes]:
    """The keys that a configuration names, newest first; none where it names none."""
    if env and file:
        faults.append("[server]: has both secrets_key_env and secrets_key_file; leave one of them out")
        return []
    if env:
        text, where = environ.get(env, ""), f"the environment variable {env}"
        if not text.strip():
            faults.append(f"[server] secrets_key_env: {where} is not set; {MAKE_ONE}")
            return []
        return _keys(text, f"[server] secrets_key_env: {where}", faults)
    if file:
        path = folder / file
        try:
            text = path.read_text("ascii")
        except OSError as error:
            faults.append(f"[server] secrets_key_file '{path}' cannot be read: {error.strerror}; {MAKE_ONE}")
            return []
        except UnicodeDecodeError:
            text = "?"
        return _keys(text, f"[server] secrets_key_file '{path}'", faults)
    return []


def _keys(text: str, where: str, faults: list[str]) -> list[bytes]:
    """Every key of a text, in which they stand apart by blanks, commas or lines."""
    keys = [_key(each) for each in re.split(r"[\s,]+", text.strip())]
    # What is wrong is not repeated: it may be most of a key.
    if any(key is None for key in keys):
        number = keys.index(None) + 1
        faults.append(f"{where}: key {number} is not {KEY_BYTES} bytes in base64; {MAKE_ONE}")
        return []
    return [key for key in keys if key is not None]


def _key(text: str) -> bytes | None:
    try:
        key = base64.b64decode(text.replace("-", "+").replace("_", "/"), validate=True)
    except (binascii.Error, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None
