"""Deployments: read in our spelling or in that of Azure's control plane, and checked one by one.

The same reading serves the configuration file and the bodies that are sent to the API (config/control_plane.py), so that
what can be written in one can be pasted into the other.
"""

import re
import urllib.parse
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

import msgspec

from slackwater.config.sections import ENCODINGS, ENDPOINTS, BackendConfig, DeploymentConfig, EchoConfig
from slackwater.config.tables import is_address, section, suggest
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.endpoints import REQUIRED_KEY, normalised
from slackwater.core.masking import shown_url
from slackwater.core.quota.tiers import Preset, preset
from slackwater.core.sending.deployment import may_use
from slackwater.core.sending.forms import FORM, JSON
from slackwater.core.sending.sku import DATA_ZONE_BATCH, SKUS, normalised_sku
from slackwater.core.sending.streaming import AUTO, NEVER, STREAMED

# Where a field of Azure's lies among ours. What is None is read over: it says nothing that would matter here.
PROPERTIES = {
    "versionUpgradeOption": "version_upgrade_option",
    "raiPolicyName": "rai_policy_name",
    "dynamicThrottlingEnabled": "dynamic_quota",
    "whenFull": "when_full",
    "dataZone": "data_zone",
    "backends": "backends",
    "endpoints": "endpoints",
    "scaleSettings": None,
    "capacitySettings": None,
    "parentDeploymentName": None,
    "spilloverDeploymentName": None,
}
MODEL = {"name": "model", "version": "version", "format": None, "publisher": None, "source": None}
SKU = {"name": "sku", "capacity": "capacity", "tier": None, "size": None, "family": None}
# Clouds whose engines nobody sees: how long a step takes there is no measure of how busy one is.
CLOUDS = (".openai.com", ".azure.com", ".azure.us", ".azure.cn")
UPGRADES = ("OnceNewDefaultVersionAvailable", "OnceCurrentVersionExpired", "NoAutoUpgrade")
# No key is longer; a file that is, is another file.
KEY_BYTES_MAX = 16_384
# No rate limit is larger; one that is written so is a slip.
RATE_MAX = 1_000_000_000_000
# Azure's own policies. They may be pasted; what they stand for is the operator's to configure under that name.
MICROSOFTS = "Microsoft."


def deployments_of(raw: object, faults: list[str]) -> list[DeploymentConfig]:
    """The `[[deployments]]` sections."""
    if not isinstance(raw, list) or not all(isinstance(entry, dict) for entry in raw):
        faults.append("deployments: must be written as [[deployments]] sections")
        return []
    read = []
    for number, entry in enumerate(raw, 1):
        where = _called(entry, number)
        deployment = deployment_of(entry, where, faults)
        if deployment is not None:
            read.append(deployment)
    return read


def _called(entry: dict[str, Any], number: int) -> str:
    name, resource = entry.get("name"), entry.get("resource", DEFAULT)
    if not isinstance(name, str):
        return f"deployment {number}"
    return f"deployment '{name}'" if resource == DEFAULT else f"deployment '{resource}/{name}'"


def deployment_of(entry: dict[str, Any], where: str, faults: list[str]) -> DeploymentConfig | None:
    """One deployment, in either spelling."""
    entry = flattened(entry, where, faults)
    backends = entry.pop("backends", [])
    if not isinstance(backends, list) or not all(isinstance(backend, dict) for backend in backends):
        faults.append(f"{where}: backends must be written as [[deployments.backends]] sections")
        return None
    read = [_backend(backend, f"{where} backend {index}", faults) for index, backend in enumerate(backends, 1)]
    deployment = section(entry, DeploymentConfig, where, faults)
    if deployment is None:
        return None
    return msgspec.structs.replace(
        deployment,
        backends=[backend for backend in read if backend is not None],
        model=deployment.model or deployment.name,
        # Unknown ones are found by the check.
        sku=normalised_sku(deployment.sku) or deployment.sku,
    )


def flattened(entry: dict[str, Any], where: str, faults: list[str]) -> dict[str, Any]:
    """A table in our spelling, out of one that may have `sku` and `properties` as Azure's control plane has them."""
    flat = {key: value for key, value in entry.items() if key not in ("sku", "properties", "tags", "location")}
    sku, properties = entry.get("sku"), entry.get("properties", {})
    if isinstance(sku, dict):
        _rename(sku, SKU, flat, f"{where} sku", faults)
    elif sku is not None:
        flat["sku"] = sku
    if not isinstance(properties, dict):
        faults.append(f"{where}: properties must be a table of settings")
        return flat
    properties = dict(properties)
    model = properties.pop("model", {})
    if isinstance(model, dict):
        _rename(model, MODEL, flat, f"{where} properties.model", faults)
    else:
        faults.append(f"{where}: properties.model must be a table, such as {{ format = 'OpenAI', name = 'gpt-4o' }}")
    _rename(properties, PROPERTIES, flat, f"{where} properties", faults)
    return flat


def _rename(
    given: dict[str, Any], names: dict[str, str | None], flat: dict[str, Any], where: str, faults: list[str]
) -> None:
    for name, value in given.items():
        if name not in names:
            faults.append(f"{where}: unknown setting '{name}'{suggest(name, names)}")
        elif (ours := names[name]) is None:
            continue
        elif ours in flat:
            faults.append(f"{where}: {name} is set already, as {ours}; write it once")
        else:
            flat[ours] = value


def _backend(raw: dict[str, Any], where: str, faults: list[str]) -> BackendConfig | None:
    backend = {re.sub(r"[A-Z]", lambda found: f"_{found[0].lower()}", name): value for name, value in raw.items()}
    echo = backend.pop("echo", None)
    read = None if echo is None else section(echo, EchoConfig, f"{where} echo", faults)
    struct = section(backend, BackendConfig, where, faults)
    return None if struct is None else msgspec.structs.replace(struct, echo=read)


def endpoint_of(name: str) -> str:
    """An endpoint as validation knows it, `/chat/completions`, from any spelling: with `/v1`, or without a first slash."""
    return normalised(f"/{name.strip('/')}")


def usable_backends(deployment: DeploymentConfig) -> list[BackendConfig]:
    """The backends that a deployment may send requests to."""
    return [
        backend
        for backend in deployment.backends
        if may_use(deployment.sku, data_zone=deployment.data_zone, backend_zone=backend.data_zone)
    ]


def may_stream(deployment: DeploymentConfig, backend: BackendConfig) -> bool:
    """Whether some answers of a backend may be asked for as streams, and whether there is a sense in it."""
    if NEVER in (deployment.stream, backend.stream) or not STREAMED & {
        endpoint_of(name) for name in deployment.endpoints
    }:
        return False
    return not is_cloud(backend.url)


def takes_forms(backend: BackendConfig) -> bool:
    """Whether a backend is asked in multipart for what its own clients ask for so."""
    return backend.forms == FORM or (backend.forms == AUTO and not is_cloud(backend.url))


def is_cloud(url: str | None) -> bool:
    """Whether a backend is at a vendor's, whose engines and their counters nobody sees."""
    host = urllib.parse.urlsplit(url or "").hostname or ""
    return host.endswith(CLOUDS)


def limit_of(deployment: DeploymentConfig) -> int | None:
    """Its limit in enqueued tokens: as written, else by its capacity, else by the tier's table; None is no limit."""
    if deployment.enqueued_token_limit is not None:
        return deployment.enqueued_token_limit
    if deployment.capacity is not None:
        return 1_000 * deployment.capacity
    found = _preset_of(deployment)
    return None if found is None else found.tokens


def _preset_of(deployment: DeploymentConfig) -> Preset | None:
    """What its tier means, where that is what counts."""
    tier = deployment.quota_tier
    if tier is None or deployment.enqueued_token_limit is not None or deployment.capacity is not None:
        return None
    return preset(tier, model=deployment.model, version=deployment.version, sku=deployment.sku)


def assumed_quotas(deployments: Iterable[DeploymentConfig]) -> list[str]:
    """What is assumed of limits for which Azure publishes no figure, a sentence for each."""
    found = ((deployment, _preset_of(deployment)) for deployment in deployments)
    return [
        f"{place_of(deployment)}: {said}: {each.tokens:,} enqueued tokens; write enqueued_token_limit for another"
        for deployment, each in found
        if each is not None
        for said in each.assumed
    ]


def place_of(deployment: DeploymentConfig) -> str:
    """How faults call it: of another resource than the default one with that, because names are unique in one resource only."""
    name = deployment.name if deployment.resource == DEFAULT else f"{deployment.resource}/{deployment.name}"
    return f"deployment '{name}'"


def check_deployment(deployment: DeploymentConfig, policies: Collection[str | None], faults: list[str]) -> None:
    """Rules between fields. `policies` are the names of the content filters that there are."""
    where = place_of(deployment)
    policy = deployment.rai_policy_name
    if policy not in policies and not (policy or "").startswith(MICROSOFTS):
        faults.append(
            f"{where}: there is no content filter '{policy}'; add a [[content_filters]] section with that name, or leave "
            "rai_policy_name out"
        )
    offered = [endpoint_of(name) for name in deployment.endpoints]
    if not offered:
        faults.append(f"{where}: endpoints is empty; name what it offers, or leave it out for the usual ones")
    for name, endpoint in zip(deployment.endpoints, offered, strict=True):
        if endpoint not in REQUIRED_KEY:
            faults.append(f"{where}: there is no endpoint '{name}'{suggest(endpoint[1:], ENDPOINTS)}")
    if deployment.tokenizer not in ENCODINGS:
        faults.append(f"{where}: tokenizer must be 'o200k_base' or 'cl100k_base'")
    if deployment.version_upgrade_option not in (None, *UPGRADES):
        faults.append(f"{where}: version_upgrade_option must be {', '.join(UPGRADES[:-1])} or {UPGRADES[-1]}")
    if deployment.stream not in (AUTO, NEVER):
        faults.append(f"{where}: stream must be 'auto' or 'never'")
    _check_quota(deployment, where, faults)
    _check_places(deployment, where, faults)
    for index, backend in enumerate(deployment.backends, 1):
        _check_backend(backend, f"{where} backend {index}", faults)


def _check_quota(deployment: DeploymentConfig, where: str, faults: list[str]) -> None:
    if normalised_sku(deployment.sku) is None:
        faults.append(f"{where}: there is no SKU '{deployment.sku}'{suggest(deployment.sku, SKUS)}")
    for name in ("enqueued_token_limit", "capacity"):
        if (getattr(deployment, name) or 0) < 0:
            faults.append(f"{where}: {name} must not be negative")


def _check_places(deployment: DeploymentConfig, where: str, faults: list[str]) -> None:
    if not deployment.backends:
        faults.append(f"{where}: has no backend; add a [[deployments.backends]] section with a url")
    elif normalised_sku(deployment.sku) == DATA_ZONE_BATCH:
        if not deployment.data_zone:
            faults.append(f"{where}: is {DATA_ZONE_BATCH}, so it needs a data_zone, such as data_zone = 'eu'")
        elif not usable_backends(deployment):
            faults.append(
                f"{where}: has no backend in the data zone '{deployment.data_zone}'; set data_zone of a backend that is there"
            )


def _check_backend(backend: BackendConfig, where: str, faults: list[str]) -> None:
    if (backend.url is None) == (backend.echo is None):
        faults.append(f"{where}: needs either a url or echo = {{}}, not both and not none")
    if backend.url is not None and not is_address(backend.url):
        faults.append(f"{where}: url '{shown_url(backend.url)}' must look like http://host:port/v1")
    if backend.ca_file is not None and not (backend.url or "").startswith("https:"):
        faults.append(f"{where}: ca_file is for a url with https")
    if backend.api_key_env is not None and backend.api_key_file is not None:
        faults.append(f"{where}: has both api_key_env and api_key_file; leave one of them out")
    if backend.api_key_header not in (None, "authorization", "api-key"):
        faults.append(f"{where}: api_key_header must be 'authorization' or 'api-key'")
    if not fits_header(backend.region):
        faults.append(f"{where}: region must be printable ASCII without commas")
    if not 1 <= backend.slots <= 10_000:
        faults.append(f"{where}: concurrency must be between 1 and 10000")
    if backend.stream not in (AUTO, NEVER):
        faults.append(f"{where}: stream must be 'auto' or 'never'")
    if backend.forms not in (AUTO, JSON, FORM):
        faults.append(f"{where}: forms must be '{AUTO}', '{JSON}' or '{FORM}'")
    for name, path in backend.paths.items():
        if endpoint_of(name) not in REQUIRED_KEY:
            faults.append(f"{where}: paths: there is no endpoint '{name}'{suggest(name.strip('/'), ENDPOINTS)}")
        if not re.fullmatch(r"/[!-\"$->@-~]*", path):
            faults.append(f"{where}: paths: '{path[:80]}' must look like /v2/rerank, from the root of the server")
    if backend.attempts < 1:
        faults.append(f"{where}: attempts must be at least 1")
    for name in ("requests_per_minute", "tokens_per_minute", "tokens_per_day"):
        if (limit := getattr(backend, name)) is not None and not 1 <= limit <= RATE_MAX:
            faults.append(
                f"{where}: {name} must be between 1 and {RATE_MAX}; leave it out where there is no such limit"
            )
    per_minute, per_day = backend.tokens_per_minute, backend.tokens_per_day
    if per_minute is not None and per_day is not None and per_day < per_minute:
        faults.append(f"{where}: tokens_per_day must not be less than tokens_per_minute")
    for name in ("connect_seconds", "first_byte_seconds", "total_seconds", "video_seconds"):
        if getattr(backend, name) <= 0:
            faults.append(f"{where}: {name} must be more than 0")


def with_files(deployment: DeploymentConfig, folder: Path) -> DeploymentConfig:
    """The same, its key files and certificates named whole."""

    def whole(name: str | None) -> str | None:
        return None if name is None else str((folder / name).absolute())

    backends = [
        msgspec.structs.replace(backend, api_key_file=whole(backend.api_key_file), ca_file=whole(backend.ca_file))
        for backend in deployment.backends
    ]
    return msgspec.structs.replace(deployment, backends=backends)


def read_key(path: Path) -> str:
    """The key in a file: one line, blanks around it left out. Raises OSError, and ValueError with what to correct."""
    with path.open("rb") as file:
        data = file.read(KEY_BYTES_MAX + 1)
    text = data.decode("ascii", "replace").strip()
    if not text:
        raise ValueError("the file is empty; write the key into it")
    # What is wrong is not repeated: it may be most of a key.
    if len(data) > KEY_BYTES_MAX or not (text.isascii() and text.isprintable() and " " not in text):
        raise ValueError("the file does not have one line with a key in it")
    return text


def fits_header(text: str) -> bool:
    """Whether a region can be sent in a header, alone or in a list."""
    return text.isascii() and text.isprintable() and "," not in text
