"""The families of policies that are compared, and their settings. A new policy is entered here.

Family("ours", lambda setting, scenario: OurPolicy(target=setting / 1e3), PACES, "path", ("src/slackwater/core/sending/*.py",))
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from benchmarks.coserving.adaptive_drr import AdaptiveDrr
from benchmarks.coserving.by_answers import ByAnswers
from benchmarks.coserving.policy import Policy
from benchmarks.coserving.product import held, product
from benchmarks.coserving.rivals import Aimd, Fixed, TotalCap, WaitingGate
from benchmarks.coserving.saturate import Saturate
from benchmarks.coserving.scenarios import Scenario
from benchmarks.coserving.shedding import shedding

Setting = float | str


@dataclass(frozen=True, slots=True)
class Family:
    """Policies that differ in one setting."""

    name: str
    make: Callable[..., Policy]
    """From a setting and a scenario, of which it may use `slo` and nothing else: the rest nobody knows beforehand."""
    settings: tuple[Setting, ...]
    kind: Literal["path", "settings", "regimes"]
    """What counts as its best within limits. `path`: the setting is a pace, and what lies between two of them counts too.
    `settings`: the best that was tried. `regimes`: the settings are the names of the regimes, each a policy that has to keep that
    regime's limits by itself: no hindsight."""
    sources: tuple[str, ...] = ()
    """Files beside those of cells.py that its cells follow from, as patterns from the root of the repository."""


def _rival(make: Callable[..., Policy]) -> Callable[..., Policy]:
    return lambda setting, scenario: make(setting)


LAW = ("src/slackwater/core/sending/*.py", "benchmarks/coserving/product.py")
OFF = Family("off", lambda setting, scenario: Policy(), (0,), "settings")
FAMILIES = {
    family.name: family
    for family in (
        Family(
            "slackwater",
            lambda setting, scenario: product(setting, scenario.slo),
            ("strict", "gentle", "slo"),
            "regimes",
            LAW,
        ),
        Family(
            "whole law",
            lambda setting, scenario: product(setting, scenario.slo, whole=True),
            ("strict", "gentle", "slo"),
            "regimes",
            LAW,
        ),
        Family(
            "shedding",
            lambda setting, scenario: shedding(setting, scenario.slo),
            ("strict", "gentle", "slo"),
            "regimes",
            (*LAW, "benchmarks/coserving/shedding.py"),
        ),
        Family(
            "law held",
            lambda setting, scenario: held(setting / 1e3),
            (10, 13, 17, 22, 28, 36, 48, 65),
            "path",
            LAW,
        ),
        Family(
            "by answers",
            lambda setting, scenario: ByAnswers(setting, scenario.slo),
            ("strict", "gentle", "slo"),
            "regimes",
            ("src/slackwater/core/sending/latency_pacing.py", "benchmarks/coserving/by_answers.py"),
        ),
        Family("fixed", _rival(Fixed), (1, 2, 4, 8, 16, 24, 32, 48, 64, 96, 128, 256), "path"),
        Family("total cap", _rival(TotalCap), (8, 16, 24, 32, 48, 64, 96, 128), "path"),
        Family("aimd", _rival(Aimd), (1.2, 1.5, 2.0, 3.0), "settings"),
        Family("waiting gate", _rival(WaitingGate), (4, 16, 64), "settings"),
        Family(
            "saturate", _rival(Saturate), (4, 8, 16, 32, 64, 128, 512), "path", ("benchmarks/coserving/saturate.py",)
        ),
        Family(
            "adaptive drr",
            _rival(AdaptiveDrr),
            (4, 8, 16, 32, 64, 128),
            "path",
            ("benchmarks/coserving/adaptive_drr.py",),
        ),
    )
}


def policy_of(family: Family, setting: Setting, scenario: Scenario) -> Policy:
    """A fresh policy of a family."""
    return family.make(setting, scenario)
