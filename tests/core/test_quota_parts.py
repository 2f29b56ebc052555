"""A vendor's limit that members of a cluster divide: all of it is used, in equal parts, and hardly anything is refused."""

import random

import pytest

from slackwater.core.sending.rate_limit_headers import MINUTE, Reading
from slackwater.core.sending.rate_limits import Quota, Told

LIMIT, TOKENS, STEP = 6000.0, 10.0, 0.05


class Vendor:
    """Counts tokens in windows of a minute."""

    def __init__(self) -> None:
        self.used = 0.0
        self.refused = 0
        self.served: dict[str, int] = {}

    def ask(self, name: str, quota: Quota, now: float) -> None:
        """A request of a member."""
        sent = quota.took(now, TOKENS)
        self.used, left = self.used + TOKENS, LIMIT - self.used
        if left < TOKENS:
            self.used -= TOKENS
            self.refused += 1
            quota.refused(sent, None, [Reading(tokens=True, limit=LIMIT, remaining=left, reset=None)], now)
        else:
            self.served[name] = self.served.get(name, 0) + 1
            quota.heard(sent, [Reading(tokens=True, limit=LIMIT, remaining=left - TOKENS, reset=None)], now)
        quota.over(sent)


def played(parts: dict[str, float], *, minutes: int = 20, online: float = 0.0, seed: int = 1) -> tuple[Vendor, float]:
    """So many minutes of all who have always something to send. Returns the vendor, and what part of what is left was used."""
    chance, vendor = random.Random(seed), Vendor()
    quotas = {name: Quota(Told()) for name in parts}
    for name, part in parts.items():
        quotas[name].divided(part)
    online_used = 0.0
    steps = int(MINUTE / STEP)
    for step in range(minutes * steps):
        now = 1000.0 + step * STEP
        if step % steps == 0:
            vendor.used = 0.0
        if step == 5 * steps:
            vendor.served, vendor.refused, online_used = {}, 0, 0.0
        if chance.random() < online * LIMIT / MINUTE * STEP / TOKENS and vendor.used + TOKENS <= LIMIT:
            vendor.used += TOKENS
            online_used += TOKENS
        for name in chance.sample(list(quotas), len(quotas)):
            quota = quotas[name]
            for _ in range(50):
                if now < quota.wait_until or quota.admits(now, TOKENS) > 0.0:
                    break
                vendor.ask(name, quota, now)
    served = TOKENS * sum(vendor.served.values())
    return vendor, served / ((minutes - 5) * LIMIT - online_used)


@pytest.mark.parametrize("online", [0.0, 0.3])
def test_the_whole_limit_is_used_in_equal_parts(online: float) -> None:
    """As much as one alone does."""
    _, alone = played({"one": 1.0}, online=online)
    vendor, used = played({name: 1 / 3 for name in ("one", "two", "three")}, online=online)
    assert used > 0.95 * alone
    assert min(vendor.served.values()) > 0.9 * max(vendor.served.values())
    assert vendor.refused <= 0.005 * sum(vendor.served.values())


def test_unequal_parts() -> None:
    """Whoever was given more sends more."""
    vendor, used = played({"large": 0.75, "small": 0.25})
    assert used > 0.9
    assert 2.0 < vendor.served["large"] / vendor.served["small"] < 4.0


def test_a_part_that_changes_within_a_minute() -> None:
    """What was used of the whole is used of either part."""
    quota = Quota(Told(tokens_per_minute=1000, shared=False))
    sent = quota.took(0.0, 600.0)
    quota.heard(sent, [Reading(tokens=True, limit=1000.0, remaining=400.0, reset=None)], 0.1)
    quota.over(sent)
    assert quota.admits(1.0, 350.0) == 0.0
    quota.divided(0.5)
    assert quota.admits(1.0, 350.0) > 0.0
    assert quota.admits(1.0, 150.0) == 0.0
    quota.divided(1.0)
    assert quota.admits(1.0, 350.0) == 0.0
    assert quota.own_use == pytest.approx(0.6)
