"""Which server is meant, how it is spoken to, and which key it gets."""

import pytest

from slackwater.client.target import target_of
from slackwater.core.errors import InvalidRequest

TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJhdWQiOiJ4In0.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    ("url", "dialect", "address", "key_env"),
    [
        ("http://127.0.0.1:8080", "slackwater", "http://127.0.0.1:8080/openai/v1/files", "SLACKWATER_API_KEY"),
        ("https://batch.example/sub/", "slackwater", "https://batch.example/sub/openai/v1/files", "SLACKWATER_API_KEY"),
        ("https://batch.example/v1", "openai", "https://batch.example/v1/files", "SLACKWATER_API_KEY"),
        ("https://n.openai.azure.com/", "azure", "https://n.openai.azure.com/openai/files", "AZURE_OPENAI_API_KEY"),
        (
            "https://n.services.ai.azure.com/openai/v1/",
            "azure-v1",
            "https://n.services.ai.azure.com/openai/v1/files",
            "AZURE_OPENAI_API_KEY",
        ),
        ("https://api.openai.com/v1", "openai", "https://api.openai.com/v1/files", "OPENAI_API_KEY"),
        ("https://api.openai.com", "openai", "https://api.openai.com/v1/files", "OPENAI_API_KEY"),
        ("https://api.openai.com.evil.example", "slackwater", None, "SLACKWATER_API_KEY"),
        ("https://evil.example/openai.azure.com", "slackwater", None, "SLACKWATER_API_KEY"),
    ],
)
def test_the_url_says_the_dialect(url: str, dialect: str, address: str | None, key_env: str) -> None:
    """With or without the prefix that clients have in their base URL; and the host alone says whose key it may get."""
    target = target_of(url)
    assert (target.dialect.name, target.key_env) == (dialect, key_env)
    if address is not None:
        assert target.address("/files") == address


def test_credentials_by_dialect() -> None:
    """A key is `api-key` at Azure and here, a bearer at OpenAI; a token of a directory is a bearer everywhere."""
    assert target_of("https://n.openai.azure.com", key="k").headers() == {"api-key": "k"}
    assert target_of("https://api.openai.com", key="k").headers() == {"Authorization": "Bearer k"}
    assert target_of("https://n.openai.azure.com", key=TOKEN).headers() == {"Authorization": f"Bearer {TOKEN}"}
    assert target_of("http://127.0.0.1:8080").headers() == {}


def test_only_dated_calls_have_a_version() -> None:
    """The version goes with every call of Azure's dated dialect, and with no other."""
    assert target_of("https://n.openai.azure.com", api_version="2025-04-01-preview").query() == {
        "api-version": "2025-04-01-preview"
    }
    assert target_of("http://127.0.0.1:8080").query() == {}


@pytest.mark.parametrize(
    "url", ["127.0.0.1:8080", "ftp://host", "http://", "http://user:pw@host", "http://host/?key=1", "http://host:x"]
)
def test_what_is_no_address(url: str) -> None:
    """It is refused before anything is sent, in words."""
    with pytest.raises(InvalidRequest):
        target_of(url)
