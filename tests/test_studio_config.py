"""`[studio]`: what it may say, and what it says when it may not."""

from pathlib import Path

import pytest

from slackwater.config import load
from slackwater.core.errors import ConfigError

BASE = """
[[deployments]]
name = "d"
[[deployments.backends]]
echo = {}
"""
OIDC = '[oidc]\nissuers = ["https://a.example", "https://b.example"]\n'


def read(tmp_path: Path, text: str, environ: dict[str, str] | None = None) -> object:
    """The section, or its faults."""
    (tmp_path / "c.toml").write_text(BASE + text)
    return load(tmp_path / "c.toml", environ or {})


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[studio]\nsession_hours = 0", "session_hours"),
        ("[studio]\nsession_hours = 1000", "session_hours"),
        ('[studio]\npublic_url = "batch.example"', "https://batch.example"),
        ('[studio]\npublic_url = "https://batch.example/studio"', "https://batch.example"),
        ('[studio]\npublic_url = "https://ann@batch.example"', "https://batch.example"),
        ('[studio]\noidc_client_id = "c"', "issuers under [oidc]"),
        (OIDC + '[studio]\noidc_client_id = "c"\noidc_issuer = "https://c.example"', "none of the issuers"),
        (OIDC + '[studio]\noidc_client_id = "c"\noidc_scope = "profile"', "openid"),
        (OIDC + '[studio]\noidc_client_id = "c"\noidc_client_secret_env = "NOT_SET"', "NOT_SET"),
        (OIDC + '[studio]\noidc_client_secret_env = "SET"', "oidc_client_id"),
        ("[studio]\nenable = false", "enabled"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, words: str) -> None:
    """A line for each fault, with what to write instead."""
    with pytest.raises(ConfigError) as refused:
        read(tmp_path, text, {"SET": "x"})
    assert len(refused.value.faults) == 1
    assert words in refused.value.faults[0]


def test_the_secret_comes_from_the_environment(tmp_path: Path) -> None:
    """And is nowhere else."""
    text = (
        OIDC + '[studio]\noidc_client_id = "c"\noidc_client_secret_env = "SET"\npublic_url = "https://batch.example/"\n'
    )
    config = read(tmp_path, text, {"SET": "hush"})
    assert config.studio_secret == "hush"  # type: ignore[attr-defined]
    assert "hush" not in repr(config.studio)  # type: ignore[attr-defined]
