"""Short checksums of what servers on one ledger should all have in their configurations, so that one which differs is seen.

They lie in the ledger for a while. Nothing that may be a secret goes into them, they are so short that many texts have the same
one, and each ledger has its own.
"""

import hashlib
import hmac
from typing import Any

import msgspec

from slackwater.config.sections import Config
from slackwater.core.masking import masked

# Sections that are the same for all.
SECTIONS = (
    "limits",
    "imports",
    "webhooks",
    "audit",
    "retention",
    "control_plane",
    "oidc",
    "billing",
    "prices",
    "deployments",
    "engines",
    "resources",
    "storage",
    "content_filters",
)
# Others belong to a machine or a process, such as where it listens, its memory and its metrics page. Of these, what decides what
# users are answered, and what becomes of their requests and files, is the same for all.
SETTINGS = {
    "server": ("files", "api_key_envs", "lenient_api_version", "cors_origins", "lost_keep_days", "region"),
    "worker": ("answer_bytes",),
    "studio": ("session_hours", "public_url", "oidc_client_id", "oidc_issuer", "oidc_scope"),
}
DIGITS = 8
# Of these, only the names of what is in them counts: nobody knows what people write there.
NAMES_ONLY = frozenset({"headers"})
# Where a file lies may be another place on each machine.
PLACES = frozenset({"file", "ca_file", "api_key_file"})


def checksums(config: Config, ledger: str) -> dict[str, str]:
    """A checksum for each section, or setting (`server.files`), that is not empty, for the ledger of that identity."""
    parts = {section: getattr(config, section) for section in SECTIONS}
    parts |= {
        f"{section}.{name}": getattr(getattr(config, section), name)
        for section in SETTINGS
        for name in SETTINGS[section]
    }
    found = {}
    for section, part in parts.items():
        built = msgspec.to_builtins(part)
        if built:
            text = msgspec.json.encode(_plain(built), order="deterministic")
            found[section] = hmac.digest(ledger.encode(), text, hashlib.sha256).hex()[:DIGITS]
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            name: sorted(each) if name in NAMES_ONLY and isinstance(each, dict) else _plain(each)
            for name, each in value.items()
            if name not in PLACES
        }
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return masked(value) if isinstance(value, str) else value
