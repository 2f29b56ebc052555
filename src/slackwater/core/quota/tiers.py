"""How many enqueued tokens a deployment may hold where only a class of subscription is named: the table of spec 6.2.

Azure's figures, so that a service can behave as a subscription there does. Whoever has limits of their own writes a number.
"""

import re
from enum import StrEnum

from slackwater.core.sending.sku import DATA_ZONE_BATCH, normalised_sku

K, M, B = 1_000, 1_000_000, 1_000_000_000


class QuotaTier(StrEnum):
    """Classes of subscriptions, in the order of the table's columns."""

    ENTERPRISE = "enterprise"
    DEFAULT = "default"
    MONTHLY = "monthly"
    MSDN = "msdn"
    STUDENT = "student"


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


def family_of(model: str, version: str = "") -> str:
    """The row of the table that a model is in, if it is in any: its name without a version such as `-2024-08-06`."""
    name = model.strip().lower().replace("gpt-3.5", "gpt-35")
    name = max((each for each in GLOBAL if re.fullmatch(rf"{re.escape(each)}(-\d.*)?", name)), key=len, default=name)
    # Azure's name for both is `gpt-4`; only the version tells them apart.
    return "gpt-4-turbo" if name == "gpt-4" and version.lower().startswith("turbo") else name


def preset(tier: QuotaTier, *, model: str, version: str = "", sku: str) -> int | None:
    """The limit in enqueued tokens; None where the table has no figure."""
    table = DATA_ZONE if normalised_sku(sku) == DATA_ZONE_BATCH else GLOBAL
    row = table.get(family_of(model, version))
    return None if row is None else row[list(QuotaTier).index(tier)]
