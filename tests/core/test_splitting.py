"""Where a long file is cut."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.errors import InvalidRequest
from slackwater.core.input.splitting import PieceLimits, Splitter

LIMITS = PieceLimits(requests=3, bytes=100, tokens=50)


def cut(sizes: list[tuple[int, int]], limits: PieceLimits) -> Splitter:
    """Requests of so many bytes and tokens, one after the other."""
    splitter, position = Splitter(limits), 0
    for number, (size, tokens) in enumerate(sizes, 1):
        splitter.add(position, position + size, tokens, line=number)
        position += size
    splitter.finish()
    return splitter


@given(st.lists(st.tuples(st.integers(1, 100), st.integers(0, 50)), min_size=1, max_size=60))
def test_pieces_are_the_file_and_within_the_limits(sizes: list[tuple[int, int]]) -> None:
    """Every request is in exactly one piece, in order; no piece is over a limit; none could have taken the next request."""
    pieces = cut(sizes, LIMITS).pieces
    assert [piece.offset for piece in pieces] == [0, *itertools.accumulate(piece.length for piece in pieces)][:-1]
    assert sum(piece.length for piece in pieces) == sum(size for size, _ in sizes)
    assert sum(piece.requests for piece in pieces) == len(sizes)
    position = 0
    for piece in pieces:
        assert piece.requests <= 3
        assert piece.length <= 100
        assert piece.tokens <= 50
        position += piece.requests
        if position < len(sizes):
            size, tokens = sizes[position]
            assert piece.requests == 3 or piece.length + size > 100 or piece.tokens + tokens > 50


@pytest.mark.parametrize(("size", "tokens", "unit"), [(101, 1, "bytes"), (1, 51, "tokens")])
def test_a_request_that_fits_nowhere(size: int, tokens: int, unit: str) -> None:
    """It is refused with its line, what it has and what it may have."""
    with pytest.raises(InvalidRequest, match=rf"line 2 .*{unit}"):
        cut([(10, 1), (size, tokens)], LIMITS)


def test_no_limits() -> None:
    """Without any, a file is one piece."""
    assert len(cut([(1000, 1000)] * 50, PieceLimits()).pieces) == 1
