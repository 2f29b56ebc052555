"""Kinds of deployments, the table of tiers, which backends may be used, and dynamic quota."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.quota.dynamic import BUCKET_SECONDS, BUCKETS_MAX, Throughput, allowance
from slackwater.core.quota.enqueued import refusal
from slackwater.core.quota.tiers import COLUMNS, DATA_ZONE, GLOBAL, Preset, QuotaTier, family_of, preset
from slackwater.core.sending.deployment import Deployment, may_use
from slackwater.core.sending.sku import SKUS, normalised_sku, takes_batches


@pytest.mark.parametrize("spelled", ["globalbatch", "Global-Batch", "GLOBAL BATCH", "global_batch", "GlobalBatch"])
def test_skus_are_compared_without_case_and_dashes(spelled: str) -> None:
    """People, portals and Azure's own error texts write them differently (spec 9.1)."""
    assert normalised_sku(spelled) == "GlobalBatch"
    assert takes_batches(spelled)


def test_only_two_skus_take_batches() -> None:
    """All others are for online calls; what is none of Azure's is no SKU."""
    assert [name for name in SKUS if takes_batches(name)] == ["GlobalBatch", "DataZoneBatch"]
    assert normalised_sku("Batch") is None
    assert not takes_batches("")


@pytest.mark.parametrize(
    ("tier", "model", "version", "sku", "limit"),
    [
        ("default", "gpt-4o", "", "GlobalBatch", 200_000_000),
        ("enterprise", "gpt-4o-mini", "2024-07-18", "GlobalBatch", 15_000_000_000),
        ("default", "gpt-4o-2024-08-06", "", "Data-Zone-Batch", 30_000_000),
        ("monthly", "gpt-4", "turbo-2024-04-09", "GlobalBatch", 40_000_000),
        ("monthly", "gpt-4-0613", "", "GlobalBatch", 5_000_000),
        ("student", "gpt-3.5-turbo", "", "GlobalBatch", 50_000),
        ("msdn", "o4-mini", "", "globalbatch", 90_000),
        ("free", "gpt-35-turbo", "", "GlobalBatch", 50_000),
        ("enterprise", "GPT-4.1 mini", "", "GlobalBatch", 15_000_000_000),
    ],
)
def test_tiers_have_the_table_s_figures(tier: str, model: str, version: str, sku: str, limit: int) -> None:
    """By model family and SKU (spec 6.2), with nothing assumed."""
    assert preset(QuotaTier(tier), model=model, version=version, sku=sku) == Preset(limit)


@pytest.mark.parametrize(
    ("tier", "model", "sku", "limit", "said"),
    [
        ("default", "gpt-5-mini", "GlobalBatch", 1_000_000_000, ["'gpt-5-mini' as global batch; that of gpt-4.1-mini"]),
        ("default", "gpt-5.4-nano-2026-03-17", "GlobalBatch", 1_000_000_000, ["that of gpt-4.1-mini counts"]),
        ("enterprise", "gpt-5.5", "GlobalBatch", 5_000_000_000, ["that of gpt-4.1 counts"]),
        ("default", "o3", "GlobalBatch", 200_000_000, ["'o3' as global batch; that of gpt-4.1 counts"]),
        ("default", "o4-mini", "DataZoneBatch", 100_000_000, ["as data zone batch; that of gpt-4.1-mini counts"]),
        ("default", "llama-3", "GlobalBatch", 200_000_000, ["that of gpt-4.1 counts"]),
        ("default", "gemini", "GlobalBatch", 200_000_000, ["that of gpt-4.1 counts"]),
        ("tier1", "gpt-4.1", "GlobalBatch", 200_000_000, ["no batch figures for 'tier1'; that of 'default' counts"]),
        ("tier6", "gpt-5-nano", "GlobalBatch", 1_000_000_000, ["that of gpt-4.1-mini counts", "figures for 'tier6'"]),
        ("student", "gpt-4o", "GlobalBatch", 0, ["'N/A' for 'student'"]),
        ("free", "gpt-5.1", "GlobalBatch", 0, ["'N/A' for 'free'"]),
    ],
)
def test_what_counts_where_azure_publishes_nothing(
    tier: str, model: str, sku: str, limit: int, said: list[str]
) -> None:
    """The figure of the model's class and of the tier's floor, and a sentence for each thing that was assumed."""
    found = preset(QuotaTier(tier), model=model, sku=sku)
    assert found.tokens == limit
    assert len(found.assumed) == len(said)
    for whole, part in zip(found.assumed, said, strict=True):
        assert part in whole


def test_every_row_of_the_table_is_reached_by_its_name() -> None:
    """And has a figure, or none, for every tier."""
    for table in (GLOBAL, DATA_ZONE):
        for name, row in table.items():
            assert family_of(name) == name
            assert len(row) == COLUMNS


def test_data_of_a_zone_stays_in_it() -> None:
    """A global deployment may use any backend, and one of a data zone those of its zone alone."""
    assert may_use("GlobalBatch", data_zone="", backend_zone="us")
    assert may_use("data-zone-batch", data_zone="eu", backend_zone="eu")
    assert not may_use("DataZoneBatch", data_zone="eu", backend_zone="us")
    assert not may_use("DataZoneBatch", data_zone="eu", backend_zone="")
    assert not may_use("DataZoneBatch", data_zone="", backend_zone="")


def test_throughput_is_that_of_the_last_minutes_of_work() -> None:
    """Idle time does not count, a bucket counts in full, and what is old is forgotten."""
    throughput = Throughput()
    assert throughput.tokens_per_second(now=5.0) == 0.0
    throughput.add(1_000, now=5.0)
    assert throughput.tokens_per_second(now=5.0) == 100.0
    assert throughput.tokens_per_second(now=5.0, work_seconds_min=60.0) == 0.0, "a moment's work says little"
    throughput.add(3_000, now=3_600.0)
    assert throughput.tokens_per_second(now=7_200.0) == 200.0
    assert throughput.tokens_per_second(now=90_010.0) == 0.0
    for bucket in range(BUCKETS_MAX):
        throughput.add(10, now=10_000.0 + bucket * BUCKET_SECONDS)
    assert throughput.tokens_per_second(now=10_300.0) == 1.0
    assert throughput.tokens_per_second(now=10_300.0, work_seconds_min=60.0) == 1.0


@given(st.lists(st.tuples(st.floats(0, 10_000), st.integers(0, 10_000)), min_size=1))
def test_throughput_is_never_more_than_what_was_finished(finished: list[tuple[float, int]]) -> None:
    """Over any seconds that were measured, the mean times the seconds is at most the tokens."""
    throughput = Throughput()
    for at, tokens in sorted(finished):
        throughput.add(tokens, now=at)
    total = sum(tokens for _, tokens in finished)
    assert throughput.tokens_per_second(now=10_000.0) * BUCKET_SECONDS <= total


def test_dynamic_quota_admits_what_can_be_finished() -> None:
    """Everything held must be done when the first window ends; the limit is there in any case, and so are the numbers."""
    assert allowance(1_000, tokens_per_second=0.0, seconds_left=86_400).limit == 1_000
    assert allowance(1_000, tokens_per_second=10.0, seconds_left=3_600).limit == 36_000
    assert allowance(1_000, tokens_per_second=10.0, seconds_left=-5).limit == 1_000
    given = allowance(1_000, tokens_per_second=10.0, seconds_left=3_600)
    assert (given.configured, given.tokens_per_second, given.seconds_left) == (1_000, 10.0, 3_600)
    deployment = Deployment(name="d", model="m", backends=(), enqueued_token_limit=1_000, dynamic_quota=True)
    assert refusal(5_000, deployment=deployment, held=31_000, family="azure", limit_now=36_000) is None
    refused = refusal(5_001, deployment=deployment, held=31_000, family="azure", limit_now=36_000)
    assert refused is not None
    assert "configured limit of 1K" in refused.message
