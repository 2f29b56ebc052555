"""When the clock on the wall is believed, and what a long time without a server means."""

import pytest

from slackwater.core.wall_clock import GRACE_SECONDS, JUMP_SECONDS, WallClock, expire_from

NOW = 1_800_000_000.0
HOUR = 3600.0


@pytest.mark.parametrize("jump", [26 * HOUR, -26 * HOUR, 40 * 24 * HOUR, JUMP_SECONDS + 1])
def test_a_jump_and_its_end(jump: float) -> None:
    """It is said once, holds however long it lasts, and is over when the clock is back, or said to be right."""
    clock = WallClock(wall=NOW, monotonic=5.0)
    assert not clock.look(wall=NOW + 100, monotonic=105.0)
    assert clock.look(wall=NOW + 200 + jump, monotonic=205.0)
    assert clock.jumped == pytest.approx(jump)
    assert not clock.look(wall=NOW + 90_000 + jump, monotonic=90_005.0)
    assert clock.jumped
    assert clock.look(wall=NOW + 90_100, monotonic=90_105.0)
    assert not clock.jumped
    assert clock.look(wall=NOW + 90_200 + jump, monotonic=90_205.0)
    clock.confirm(wall=NOW + 90_200 + jump, monotonic=90_205.0)
    assert not clock.look(wall=NOW + 90_300 + jump, monotonic=90_305.0)
    assert not clock.jumped
    assert clock.look(wall=NOW + 90_400, monotonic=90_405.0)


def test_corrections_are_followed() -> None:
    """A clock that is set by some minutes now and then, or runs a little fast, is not one that has jumped."""
    clock = WallClock(wall=NOW, monotonic=0.0)
    for step in range(1, 200):
        assert not clock.look(wall=NOW + step * 700, monotonic=step * 100.0)
    assert clock.look(wall=NOW + 200 * 700 + 2 * JUMP_SECONDS, monotonic=200 * 100.0)


@pytest.mark.parametrize(
    ("alive_at", "before", "expected"),
    [
        pytest.param(0.0, 0.0, 0.0, id="the first start"),
        pytest.param(NOW - 60, 0.0, 0.0, id="a restart"),
        pytest.param(NOW - 60 * HOUR, 0.0, NOW + GRACE_SECONDS, id="a weekend"),
        pytest.param(NOW - 60, NOW + 20 * HOUR, NOW + 20 * HOUR, id="a restart on the day after it"),
        pytest.param(NOW - 60, NOW - HOUR, NOW - HOUR, id="a restart later"),
        pytest.param(NOW + 40 * 24 * HOUR, NOW + 41 * 24 * HOUR, NOW + GRACE_SECONDS, id="the last clock was wrong"),
    ],
)
def test_from_when_on_things_expire(alive_at: float, before: float, expected: float) -> None:
    """At once, or a day after a long time in which nobody served; a start in between does not make it shorter."""
    assert expire_from(alive_at=alive_at, before=before, now=NOW) == expected
