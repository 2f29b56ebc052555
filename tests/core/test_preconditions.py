"""What a caller wants to be so before something is changed."""

import pytest

from slackwater.core.accounts.preconditions import ANY, NO_PRECONDITION, Precondition
from slackwater.core.errors import PreconditionFailed


@pytest.mark.parametrize("etag", [None, "a"])
def test_without_a_condition_everything_fits(etag: str | None) -> None:
    """Whether the object is there or not."""
    NO_PRECONDITION.check(etag, "thing")


@pytest.mark.parametrize(
    ("wanted", "fits", "does_not"),
    [
        (Precondition(match=frozenset({ANY})), ["a", "b"], [None]),
        (Precondition(match=frozenset({"a", "c"})), ["a", "c"], [None, "b", ""]),
        (Precondition(match=frozenset()), [], [None, "a", ""]),
        (Precondition(none_match=frozenset({ANY})), [None], ["a", "b"]),
        (Precondition(none_match=frozenset({"a", "c"})), [None, "b"], ["a", "c"]),
        (Precondition(match=frozenset({ANY}), none_match=frozenset({"a"})), ["b"], [None, "a"]),
    ],
)
def test_what_fits(wanted: Precondition, fits: list[str | None], does_not: list[str | None]) -> None:
    """One of the wanted etags and none of the unwanted; `*` is any, and nothing is not any."""
    for etag in fits:
        wanted.check(etag, "thing")
    for etag in does_not:
        with pytest.raises(PreconditionFailed, match="thing"):
            wanted.check(etag, "thing")
