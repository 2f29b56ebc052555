"""What others keep in an engine's cache, and how much of it is ours."""

import math

import pytest

from slackwater.core.sending.cache_share import SHARE_FIRST, SHARE_MIN, CacheShare

KV = 100_000.0


def seen(share: CacheShare, part: float, *, seconds: float = 600.0, now: float = 0.0) -> float:
    """So long, in which others find that part of what they look for; returns when that is over."""
    for number in range(int(seconds)):
        share.seen(20_000.0, part * 20_000.0, seconds=1.0, now=now + number)
    return now + seconds


def test_where_nobody_comes_back_the_cache_is_free() -> None:
    """Also before anything is known, and where they find hardly anything."""
    share = CacheShare()
    assert share.room(KV, 0.0) == math.inf
    now = seen(share, 0.1)
    share.wrote(10 * KV, now)
    assert share.room(KV, now) == math.inf


def test_a_part_of_it_within_a_minute_or_so() -> None:
    """What was written long ago has been pushed out itself."""
    share = CacheShare()
    now = seen(share, 0.9, seconds=60.0)
    whole = share.room(KV, now)
    assert 0.9 * SHARE_FIRST * KV <= whole <= 1.2 * SHARE_FIRST * KV
    share.wrote(whole, now)
    assert share.room(KV, now) == pytest.approx(0.0, abs=1.0)
    assert share.room(KV, now + 600.0) == pytest.approx(whole, rel=0.01)


def test_less_is_found() -> None:
    """The part is cut, in steps that can be seen, to a least one; a calm hour brings it back."""
    share = CacheShare()
    now = seen(share, 0.9)
    before = share.share
    now = seen(share, 0.5, seconds=50.0, now=now)
    assert share.share == pytest.approx(0.6 * before, rel=0.1)
    now = seen(share, 0.0, seconds=300.0, now=now)
    assert SHARE_MIN <= share.share < 0.2 * before
    low = share.share
    now = seen(share, 0.9, seconds=3600.0, now=now)
    assert share.share > 2 * low


def test_others_that_have_changed_for_good() -> None:
    """Who finds less because they ask for other things is not taken for our harm for ever."""
    share = CacheShare()
    now = seen(share, 0.9)
    now = seen(share, 0.4, seconds=7200.0, now=now)
    assert share.usual == pytest.approx(0.4, abs=0.06)
    assert share.share > SHARE_FIRST
