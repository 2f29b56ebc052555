"""What is shipped with the modelled engine: profiles of engines, and traces of online traffic. Read from the package."""

import gzip
import json
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

from slackwater.core.engine_model import Profile, Trace, profile_from, trace_from
from slackwater.core.errors import ConfigError

PROFILES = ("a100-8b", "a100-40g", "h100-8b", "h100-70b-tp8")
TRACES = ("azure-conv", "azure-code")
PROFILE_BYTES_MAX = 4 * 2**20
_HERE = files("slackwater.adapters.modelled_engine")


def profile_named(word: str) -> Profile:
    """A shipped profile by its name, or one from a file in the same form, `.toml` or `.json`. Raises ConfigError."""
    if word in PROFILES:
        return profile_from(tomllib.loads(_HERE.joinpath("profiles", f"{word}.toml").read_text("utf-8")))
    path = Path(word)
    if not path.is_file():
        raise ConfigError([f"there is no profile and no file {word!r}; the profiles are {', '.join(PROFILES)}"])
    try:
        if path.stat().st_size > PROFILE_BYTES_MAX:
            raise ConfigError([f"{word} is too large for a profile, which may have {PROFILE_BYTES_MAX // 2**20} MiB"])
        text = path.read_text("utf-8")
        data = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            [f"{word} cannot be read as {'JSON' if path.suffix == '.json' else 'TOML'}: {error}"]
        ) from error
    if not isinstance(data, dict):
        raise ConfigError([f"{word} must be an object"])
    try:
        return profile_from(data)
    except ConfigError as error:
        raise ConfigError([f"{word}: {fault}" for fault in error.faults]) from error


@cache
def trace_named(name: str) -> Trace:
    """A shipped trace, one of TRACES."""
    name = name.removeprefix("azure-")
    data = _HERE.joinpath("traces", f"azure_2023_{name}.gz").read_bytes()
    return trace_from(gzip.decompress(data).decode("ascii"))
