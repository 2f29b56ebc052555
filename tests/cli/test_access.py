"""Who may call, as the first lines of a server say it."""

from pathlib import Path

import pytest

from slackwater.cli.serve import access_line
from slackwater.config import Config, OidcConfig, ResourceConfig

MAKE = "'slackwater keys create --data mydata --resource default' makes keys"
RED = Config(resources=(ResourceConfig(name="red"),))


@pytest.mark.parametrize(
    ("config", "keyed", "line"),
    [
        (Config(), [], "no API key is configured: loopback only, any key is accepted"),
        (RED, [], "no API key is configured: loopback only, any key is accepted"),
        (Config(), ["default"], "every call needs a key of default"),
        (RED, ["red", "default"], "every call needs a key of default, red"),
        (RED, ["red"], f"every call needs a key of red; nobody can call default: {MAKE}"),
        (
            Config(),
            ["red"],
            "every call needs a key, and there is none that is good here; there are keys of red, which [[resources]] does not "
            f"name; nobody can call default: {MAKE}",
        ),
        (Config(api_keys=("secret",)), [], "every call needs one of api_key_envs"),
        (Config(api_keys=("secret",)), ["default"], "every call needs one of api_key_envs or a key of default"),
        (Config(oidc=OidcConfig(issuers=["https://issuer"])), [], "every call needs a token"),
    ],
)
def test_who_may_call(config: Config, keyed: list[str], line: str) -> None:
    """One key of any resource locks all; who is locked out by that is named, with what lets them in."""
    assert access_line(config, Path("mydata"), keyed) == line
