"""What an operator can choose about Studio, the pages for people, and how they sign in."""

import urllib.parse
from collections.abc import Iterator

from msgspec import Struct

from slackwater.config.oidc import OidcConfig

HOURS_MAX = 24 * 30


class StudioConfig(Struct, frozen=True, kw_only=True):
    """`[studio]`: the pages at `/studio`, and how people sign in to them. See authentication.md."""

    enabled: bool = True
    """Whether there are any pages. The API is the same without them."""
    session_hours: float = 12.0
    """How long somebody stays signed in. A session ends earlier with the key that it was made with."""
    public_url: str = ""
    """Where browsers reach the service, such as `https://batch.example`, where a proxy stands before it that does not say so."""
    oidc_client_id: str = ""
    """The application that people sign in with at the issuer. Empty: with keys only."""
    oidc_client_secret_env: str = ""
    """Environment variable that holds its secret. Empty: a public client."""
    oidc_issuer: str = ""
    """The one of `issuers` under `[oidc]` that people are sent to; by default the first."""
    oidc_scope: str = "openid profile"
    """What is asked for. Must hold `openid`."""


def faults_of_studio(studio: StudioConfig, oidc: OidcConfig) -> Iterator[str]:
    """What is wrong with the section, a sentence each."""
    if not 0 < studio.session_hours <= HOURS_MAX:
        yield f"session_hours must be more than 0, and at most {HOURS_MAX}"
    if studio.public_url:
        try:
            parts = urllib.parse.urlsplit(studio.public_url)
            good = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/")
            good = good and not (parts.query or parts.fragment or parts.username) and parts.port != 0
        except ValueError:
            good = False
        if not good or not studio.public_url.isascii() or " " in studio.public_url:
            yield f"public_url: '{studio.public_url}' must look like https://batch.example"
    if studio.oidc_client_id and not oidc.issuers:
        yield "oidc_client_id: there is no issuer to sign in at; add issuers under [oidc]"
    if studio.oidc_client_secret_env and not studio.oidc_client_id:
        yield "oidc_client_secret_env: there is no oidc_client_id that the secret could belong to"
    if studio.oidc_issuer and studio.oidc_issuer not in oidc.issuers:
        yield f"oidc_issuer: '{studio.oidc_issuer}' is none of the issuers under [oidc]"
    if "openid" not in studio.oidc_scope.split():
        yield "oidc_scope: must hold openid"
