"""What is taken out of texts: of URLs what is no place, and of a server's answers what it was given."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.masking import MASK, Secrets, masked


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("http://host:8000/v1", "http://host:8000/v1"),
        ("at http://user:pass@host/v1?code=1&sig=2: no", "at http://host/v1?***: no"),
        ("(see https://a@b@host?x)", "(see https://host?***)"),
        ("http://host/v1#key, http://host?q#f.", "http://host/v1#***, http://host?***."),
        ('{"url":"https://host/p?sig=a%2Bb\\u0026x"}', '{"url":"https://host/p?***\\u0026x"}'),
        ("htp://u:p@h and what follows: a@b?c", "htp://h and what follows: a@b?c"),
        ("no address: user@host?x", "no address: user@host?x"),
    ],
)
def test_a_url_keeps_its_place_only(said: str, told: str) -> None:
    """Scheme, host, port and path; the sentence around it stays as it is."""
    assert masked(said) == told
    assert masked(told) == told


def test_what_was_given_is_taken_out() -> None:
    """Keys, other headers and parameters, as they were sent or as a server may have read them."""
    headers = {
        "Authorization": "Bearer sk-1234567890",
        "x-gate": "open, sesame",
        "Accept": "application/json",
        "x": "v1",
    }
    secrets = Secrets(headers.items(), "code=a%2Fb%20c%2Fd%3D%3D&api-version=2024-10-21")
    said = b"Bearer sk-1234567890; sk-1234567890; open, sesame; application/json; v1; a/b c/d==; a%2Fb%20c%2Fd%3D%3D; 2024-10-21"
    assert secrets.taken_out(said) == b"***; ***; ***; application/json; v1; ***; ***; 2024-10-21"


@given(st.text(), st.text("abc@/?#:", max_size=20), st.text())
def test_no_query_outlives_it(before: str, url: str, after: str) -> None:
    """Whatever stands around it."""
    told = masked(f"{before} http://{url}?secret-words {after}")
    assert "secret-words" not in told.replace(after, "").replace(before, "")
    assert MASK in told
