"""The scenarios: an engine, its online traffic, and the batch work that is to fill what is left of it."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """`load` is a kind of workload.online and its mean rate. `slo` is the limit of TPOT p99 in the regime of that name."""

    name: str
    profile: str
    load: tuple[str, float]
    seconds: float
    slo: float = 0.050
    shape: dict[str, float] = field(default_factory=dict)
    batch: str = "balanced"


SCENARIOS = (
    Scenario(name="S1-steady40", profile="a100-8b", load=("azure-conv", 3.0), seconds=900),
    Scenario(name="S2-steady70", profile="a100-8b", load=("azure-conv", 5.0), seconds=900),
    Scenario(
        name="S3-diurnal",
        profile="a100-8b",
        load=("diurnal", 2.4),
        shape={"lo": 0.1, "hi": 1.9, "period": 1800.0},
        seconds=1800,
    ),
    Scenario(
        name="S4-onoff",
        profile="a100-8b",
        load=("onoff", 2.5),
        shape={"on_s": 20, "off_s": 40, "hi": 2.0, "lo": 0.2},
        seconds=1200,
    ),
    Scenario(name="S5-code-burst", profile="h100-8b", load=("azure-code", 1.2), seconds=1700),
    Scenario(name="S6-h100-conv", profile="h100-8b", load=("azure-conv", 5.53), seconds=600, slo=0.030),
    Scenario(name="S7-kv-tight", profile="a100-40g", load=("azure-conv", 3.0), seconds=900, batch="summarize"),
)
BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
# Before this nothing is measured; online requests that come later than this before the end may not end within it.
WARM_UP_SECONDS, LAST_SECONDS = 60.0, 30.0


def limits(off: dict[str, float], slo: float, regime: str) -> tuple[float, float]:
    """The most that TTFT p99 and TPOT p99 may be, in seconds, from the same traffic without batch work (`off`)."""
    ttft, tpot = off["ttft_p99"], off["tpot_p99"]
    return {
        "strict": (1.05 * ttft, 1.05 * tpot),
        "gentle": (1.25 * ttft, 1.25 * tpot),
        "slo": (1.25 * ttft, max(slo, 1.25 * tpot)),
    }[regime]


REGIMES = ("strict", "gentle", "slo")
