"""When a session counts, and which calls a browser vouches for."""

import msgspec
import pytest

from slackwater.core.accounts.resource import Role
from slackwater.core.accounts.session import Session, of_another_site, origin_of_key, surely_own_page

SESSION = Session(
    digest="d", resource="red", role=Role.USER, name="n", origin=origin_of_key("k"), created_at=0, expires_at=100
)
HOSTS = {"batch.example", "inside:8080"}


def test_a_session_ends_with_what_it_was_made_of() -> None:
    """Time, key and resource: each of them alone ends it."""
    good = {"now": 99.9, "origins": {"key:k", "key:x"}, "resources": {"red"}}
    assert SESSION.lives(**good)
    for worse in ({"now": 100.0}, {"origins": {"key:x"}}, {"resources": {"blue"}}):
        assert not SESSION.lives(**(good | worse))
    assert not msgspec.structs.replace(SESSION, origin="issuer:k").lives(**good)


@pytest.mark.parametrize(
    ("fetch_site", "origin", "own", "foreign"),
    [
        ("same-origin", None, True, False),
        ("same-origin", "https://evil.example", True, False),
        ("same-site", "https://batch.example", False, True),
        ("cross-site", None, False, True),
        ("none", None, False, True),
        (None, "https://batch.example", True, False),
        (None, "https://batch.example:443", True, False),
        (None, "http://inside:8080", True, False),
        (None, "http://inside", False, True),
        (None, "https://BATCH.example", True, False),
        (None, "https://batch.example.evil", False, True),
        (None, "null", False, True),
        (None, "batch.example", False, True),
        (None, None, False, False),
    ],
)
def test_calls_of_other_pages(fetch_site: str | None, origin: str | None, own: bool, foreign: bool) -> None:
    """What the browser says counts; where it says nothing, nobody vouches for the call, and nobody accuses it."""
    assert surely_own_page(fetch_site=fetch_site, origin=origin, hosts=HOSTS) is own
    assert of_another_site(fetch_site=fetch_site, origin=origin, hosts=HOSTS) is foreign
