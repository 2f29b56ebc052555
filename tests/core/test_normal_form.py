"""NFKC, and what it would take for ever to bring into order."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.filtering.blocklists import fold
from slackwater.core.normal_form import BREAK, MARKS_MAX, nfkc
from slackwater.core.watching.text_search import Needle


@given(st.text())
def test_what_people_write_is_as_unicode_has_it(text: str) -> None:
    """Without long runs of marks nothing is different."""
    assert nfkc(text) == unicodedata.normalize("NFKC", text)


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f73", "\u0344", "\u3099\U0001d165"])
def test_a_long_run_of_marks_is_broken(marks: str) -> None:
    """Also of those that become marks: a million of them would take a day otherwise. Thirty stay together."""
    text = "a" + marks * 500_000
    found = nfkc(text)
    runs = found.split(BREAK)
    assert len(runs) == -(-len(marks) * 500_000 // MARKS_MAX)
    # What is one character may become two marks or three.
    assert max(map(len, runs)) <= 1 + 3 * MARKS_MAX
    assert fold(text)
    assert Needle.of("ab").find_in([text]) is None
