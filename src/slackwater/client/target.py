"""Which server is meant and how it is spoken to: paths, the version and the credential of each dialect (spec 1.1, 1.2).

What must always hold: a vendor's key goes to that vendor's hosts only, unless the user names the variable.
"""

from urllib.parse import urlsplit

from msgspec import Struct

from slackwater.core.accounts.claims import looks_like_jwt
from slackwater.core.errors import InvalidRequest

DEFAULT_URL = "http://127.0.0.1:8080"
# The latest version that is generally available and knows batches (spec 1.3).
API_VERSION = "2024-10-21"
AZURE_HOSTS = (".openai.azure.com", ".services.ai.azure.com", ".cognitiveservices.azure.com")
OPENAI_HOST = "api.openai.com"
MEBIBYTE = 1 << 20


class Dialect(Struct, frozen=True, kw_only=True):
    """How one kind of server is spoken to."""

    name: str
    prefix: str
    """Of every path."""
    bearer: bool = False
    """Whether a plain key is sent as `Authorization: Bearer` instead of `api-key`."""
    dated: bool = False
    """Whether every call needs an api-version."""
    ours: bool = False
    """Whether the server has the extensions, and repeats a create under the same Idempotency-Key safely."""
    family: str = "azure"
    """Whose rules an input file is checked against before it is sent."""
    piece_max: int = 200 * MEBIBYTE
    """Bytes that a file may have to be uploaded in one piece."""
    poll_seconds: float = 30.0
    """How long to wait between two looks at a long batch."""


DIALECTS = {
    each.name: each
    for each in (
        Dialect(name="slackwater", prefix="/openai/v1", ours=True, poll_seconds=2.0),
        Dialect(name="azure", prefix="/openai", dated=True),
        Dialect(name="azure-v1", prefix="/openai/v1"),
        Dialect(name="openai", prefix="/v1", bearer=True, family="openai", piece_max=512 * MEBIBYTE),
    )
}


class Target(Struct, frozen=True, kw_only=True):
    """One server, its dialect, and what lets the caller in."""

    url: str
    """Without the dialect's prefix and without a slash at the end."""
    dialect: Dialect
    api_version: str = API_VERSION
    key: str | None = None
    key_from: str = ""
    """Where the user has said that the key is, in words; empty where that is not known."""

    def address(self, path: str) -> str:
        """The whole address of a path of the API."""
        return self.url + self.dialect.prefix + path

    def query(self) -> dict[str, str]:
        """What every call has behind the question mark."""
        return {"api-version": self.api_version} if self.dialect.dated else {}

    def headers(self) -> dict[str, str]:
        """The credential, as the dialect has it. Tokens of a directory are bearer tokens everywhere."""
        if self.key is None:
            return {}
        if self.dialect.bearer or looks_like_jwt(self.key):
            return {"Authorization": f"Bearer {self.key}"}
        return {"api-key": self.key}

    @property
    def key_env(self) -> str:
        """The variable that holds the key where nobody names another. It goes by the host, whatever the dialect."""
        return key_env_at(urlsplit(self.url).hostname or "")

    @property
    def vendors(self) -> bool:
        """Whether the server is Azure's or OpenAI's."""
        return self.key_env != key_env_at("")

    @property
    def loopback(self) -> bool:
        """Whether the server is on this machine."""
        host = urlsplit(self.url).hostname or ""
        return host in ("localhost", "::1") or host.startswith("127.")


def target_of(
    url: str, *, dialect: str | None = None, api_version: str | None = None, key: str | None = None
) -> Target:
    """The target of a url as people write it: with or without the prefix of an API. Raises InvalidRequest."""
    url = url.strip().rstrip("/")
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https"):
        raise InvalidRequest(f"'{url}' is not the address of a server; write it like {DEFAULT_URL}", param="server")
    if parts.username is not None or parts.query or parts.fragment:
        raise InvalidRequest(
            "the address of a server has no user name, '?' or '#' in it; a key belongs into an environment variable",
            param="server",
        )
    root, written = _without_prefix(url)
    if dialect is None:
        dialect = _dialect_at(host, written, dated=api_version is not None)
    if dialect not in DIALECTS:
        raise InvalidRequest(f"there is no dialect '{dialect}'; there are {', '.join(DIALECTS)}", param="dialect")
    return Target(url=root, dialect=DIALECTS[dialect], api_version=api_version or API_VERSION, key=key or None)


def key_env_at(host: str) -> str:
    """The variable that holds the key for a host."""
    if host.endswith(AZURE_HOSTS):
        return "AZURE_OPENAI_API_KEY"
    return "OPENAI_API_KEY" if host == OPENAI_HOST else "SLACKWATER_API_KEY"


def _without_prefix(url: str) -> tuple[str, str]:
    """The url without the prefix that people copy from a client's `base_url`, and that prefix."""
    for prefix in ("/openai/v1", "/openai", "/v1"):
        if url.endswith(prefix):
            return url.removesuffix(prefix), prefix
    return url, ""


def _dialect_at(host: str, prefix: str, *, dated: bool) -> str:
    if host.endswith(AZURE_HOSTS):
        return "azure-v1" if prefix == "/openai/v1" and not dated else "azure"
    if host == OPENAI_HOST:
        return "openai"
    if dated:
        return "azure"
    return "openai" if prefix == "/v1" else "slackwater"
