"""Seals with AES-256-GCM under one of several keys: the newest seals, and any of them opens.

What is stored is `1.KEY.TEXT`: the version of this form, which key it was, and nonce and ciphertext in base64. What the secret
belongs to is authenticated with it, so that a sealed text that somebody puts into another row opens nothing.
"""

import base64
import binascii
import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from slackwater.ports import CannotOpen

NONCE_BYTES = 12
FORM = "1"


def id_of(key: bytes) -> str:
    """What a key is called where it must not be shown: enough to tell keys apart, and nothing of one."""
    return hashlib.sha256(b"slackwater secrets key " + key).hexdigest()[:8]


class AesGcmSealer:
    """Knows the operator's keys of 32 bytes, the newest first; there is one at least."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._newest = id_of(keys[0])
        self._ciphers = {id_of(key): AESGCM(key) for key in keys}

    def seal(self, secret: str, *, about: str) -> str:
        nonce = os.urandom(NONCE_BYTES)
        sealed = self._ciphers[self._newest].encrypt(nonce, secret.encode(), _bound(self._newest, about))
        return f"{FORM}.{self._newest}.{base64.b64encode(nonce + sealed).decode()}"

    def open(self, sealed: str, *, about: str) -> str:
        form, _, rest = sealed.partition(".")
        key, _, text = rest.partition(".")
        if form != FORM:
            raise CannotOpen("its key was stored by a newer version of Slackwater: use that, or give the key anew")
        cipher = self._ciphers.get(key)
        if cipher is None:
            raise CannotOpen(
                f"its key is sealed under another secrets key ({key[:8]}) than this server has ({', '.join(self._ciphers)}): add "
                "that one to secrets_key_env or secrets_key_file under [server], or give the key anew"
            )
        try:
            both = base64.b64decode(text, validate=True)
            return cipher.decrypt(both[:NONCE_BYTES], both[NONCE_BYTES:], _bound(key, about)).decode()
        except (InvalidTag, binascii.Error, ValueError) as error:
            raise CannotOpen(
                "its key is not what was stored, or was stored for something else: give it anew"
            ) from error

    def is_newest(self, sealed: str) -> bool:
        return sealed.startswith(f"{FORM}.{self._newest}.")


def _bound(key: str, about: str) -> bytes:
    return f"{FORM}.{key}.{about}".encode()
