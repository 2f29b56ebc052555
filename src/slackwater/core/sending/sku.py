"""Kinds of deployments, as Azure names them (spec 9.1). Only two of them take batches.

People and portals write the names in many ways, so they are compared without case, dashes and blanks.
"""

GLOBAL_BATCH, DATA_ZONE_BATCH = "GlobalBatch", "DataZoneBatch"
BATCH_SKUS = frozenset({GLOBAL_BATCH, DATA_ZONE_BATCH})
SKUS = (
    GLOBAL_BATCH,
    DATA_ZONE_BATCH,
    "Standard",
    "GlobalStandard",
    "DataZoneStandard",
    "ProvisionedManaged",
    "GlobalProvisionedManaged",
    "DataZoneProvisionedManaged",
    "Developer",
    "DeveloperTier",
)


def _plain(name: str) -> str:
    return "".join(name.replace("-", "").replace("_", "").split()).lower()


BY_PLAIN_NAME = {_plain(name): name for name in SKUS}


def normalised_sku(name: str) -> str | None:
    """The SKU as Azure spells it; None where there is none of that name."""
    return BY_PLAIN_NAME.get(_plain(name))


def takes_batches(name: str) -> bool:
    """Whether batches may run on a deployment with this SKU."""
    return normalised_sku(name) in BATCH_SKUS
