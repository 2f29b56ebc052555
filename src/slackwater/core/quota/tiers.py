"""How many enqueued tokens a deployment may hold where only a class of subscription is named: the table of spec 6.2.

Azure's figures, so that a service can behave as a subscription there does. Whoever has limits of their own writes a number. The
figures are those of "Batch quota" in Azure's quotas and limits (learn.microsoft.com/azure/foundry/openai/quotas-limits, as in
MicrosoftDocs/azure-ai-docs at 12579eb3, read on 30 November 2026; gpt-35-turbo is of the page of 2024). That page has tiers, too
(Free, 1 to 6), with requests and tokens per minute for online deployments and nothing for batches, and it has no row for most
models of 2026. What counts in their place is said aloud: nothing is made up, and nothing keeps a configuration from loading.
"""

import re
from enum import StrEnum

from msgspec import Struct

from slackwater.core.sending.sku import DATA_ZONE_BATCH, normalised_sku

K, M, B = 1_000, 1_000_000, 1_000_000_000


class QuotaTier(StrEnum):
    """Classes of subscriptions: the table's columns in their order, then Azure's tiers of 2026."""

    ENTERPRISE = "enterprise"
    DEFAULT = "default"
    MONTHLY = "monthly"
    MSDN = "msdn"
    STUDENT = "student"
    FREE = "free"
    TIER_1 = "tier1"
    TIER_2 = "tier2"
    TIER_3 = "tier3"
    TIER_4 = "tier4"
    TIER_5 = "tier5"
    TIER_6 = "tier6"


Row = tuple[int | None, ...]
LARGE: Row = (5 * B, 200 * M, 50 * M, 90 * K, None)
SMALL: Row = (15 * B, 1 * B, 50 * M, 90 * K, None)
GLOBAL: dict[str, Row] = {
    "gpt-4.1": LARGE,
    "gpt-4o": LARGE,
    "gpt-5": LARGE,
    "gpt-5.1": LARGE,
    "gpt-4.1-mini": SMALL,
    "gpt-4.1-nano": SMALL,
    "gpt-4o-mini": SMALL,
    "o3-mini": SMALL,
    "o4-mini": SMALL,
    "gpt-4-turbo": (300 * M, 80 * M, 40 * M, 90 * K, None),
    "gpt-4": (150 * M, 30 * M, 5 * M, 100 * K, None),
    "gpt-35-turbo": (10 * B, 1 * B, 100 * M, 2 * M, 50 * K),
}
ZONE_LARGE: Row = (500 * M, 30 * M, 30 * M, 90 * K, None)
ZONE_SMALL: Row = (1_500 * M, 100 * M, 50 * M, 90 * K, None)
DATA_ZONE: dict[str, Row] = {
    "gpt-4.1": ZONE_LARGE,
    "gpt-4o": ZONE_LARGE,
    "gpt-4.1-mini": ZONE_SMALL,
    "gpt-4o-mini": ZONE_SMALL,
    "o3-mini": ZONE_SMALL,
    "gpt-5": LARGE,
    "gpt-5.1": LARGE,
}
COLUMNS = len(LARGE)
# "Azure for Students, free trials" is one column.
COLUMN_OF = {tier: number for number, tier in enumerate(list(QuotaTier)[:COLUMNS])} | {QuotaTier.FREE: COLUMNS - 1}
# What counts for a tier. Azure says of them only that nobody's is lower than what he had before, which was this or `enterprise`.
FLOOR = QuotaTier.DEFAULT
# The names of small models, and the rows that stand for models without one.
_SMALL = re.compile(r"(?:^|[-.])(?:mini|nano)(?:$|[-.])")
LIKE_LARGE, LIKE_SMALL = "gpt-4.1", "gpt-4.1-mini"


class Preset(Struct, frozen=True):
    """A limit in enqueued tokens, and what was assumed for it because Azure publishes no figure of its own."""

    tokens: int
    assumed: tuple[str, ...] = ()


def family_of(model: str, version: str = "") -> str:
    """The row of the table that a model is in, if it is in any: its name without a version such as `-2024-08-06`."""
    name = re.sub(r"\s+", "-", model.strip().lower()).replace("gpt-3.5", "gpt-35")
    name = max((each for each in GLOBAL if re.fullmatch(rf"{re.escape(each)}(-\d.*)?", name)), key=len, default=name)
    # Azure's name for both is `gpt-4`; only the version tells them apart.
    return "gpt-4-turbo" if name == "gpt-4" and version.lower().startswith("turbo") else name


def preset(tier: QuotaTier, *, model: str, version: str = "", sku: str) -> Preset:
    """The limit in enqueued tokens. Where the table has no figure, that of the model's class and of the next tier counts."""
    assumed = []
    zoned = normalised_sku(sku) == DATA_ZONE_BATCH
    table = DATA_ZONE if zoned else GLOBAL
    family = family_of(model, version)
    row = table.get(family)
    if row is None:
        like = LIKE_SMALL if _SMALL.search(family) else LIKE_LARGE
        row = table[like]
        kind = "data zone batch" if zoned else "global batch"
        assumed.append(f"Azure publishes no figure for the model '{model}' as {kind}; that of {like} counts")
    column = COLUMN_OF.get(tier)
    if column is None:
        column = COLUMN_OF[FLOOR]
        assumed.append(f"Azure publishes no batch figures for '{tier}'; that of '{FLOOR}' counts")
    tokens = row[column]
    if tokens is None:
        assumed.append(f"Azure has 'N/A' for '{tier}': such a subscription may enqueue nothing, and the limit is 0")
    return Preset(tokens or 0, tuple(assumed))
