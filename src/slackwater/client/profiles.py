"""Names for servers, kept in a file of the user's: `~/.config/slackwater/profiles.toml`. No key is ever in it.

    default = "work"

    [profiles.work]
    url = "https://batch.example"
    api_key_env = "BATCH_KEY"

Which server is meant is said, from strongest to weakest, by --server, --profile, SLACKWATER_URL, SLACKWATER_PROFILE, the
file's default, and the address of a server on this machine.
"""

import os
import re
import subprocess
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from slackwater.client.target import DEFAULT_URL, Target, target_of
from slackwater.core.errors import ConfigError, InvalidRequest

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class Profile(Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One server."""

    url: str
    dialect: str | None = None
    """`slackwater`, `azure`, `azure-v1` or `openai`; by the url where nothing is said."""
    api_version: str | None = None
    api_key_env: str | None = None
    """The environment variable that holds the key."""
    api_key_command: str | None = None
    """A command of the shell whose output is the key, or a token."""


class Profiles(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    default: str | None = None
    profiles: dict[str, Profile] = msgspec.field(default_factory=dict)


def profiles_path(environment: Mapping[str, str]) -> Path:
    """Where the file is, or would be."""
    base = environment.get("XDG_CONFIG_HOME", "")
    # The specification of these directories says to ignore what is no absolute path.
    root = Path(base) if base.startswith("/") else Path(environment.get("HOME") or "~").expanduser() / ".config"
    return root / "slackwater" / "profiles.toml"


def load_profiles(path: Path) -> Profiles:
    """What the file says; nothing where there is none. Raises ConfigError."""
    try:
        text = path.read_text("utf-8")
    except (FileNotFoundError, NotADirectoryError):
        return Profiles()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{path}: {error}"]) from error
    try:
        return msgspec.convert(tomllib.loads(text), Profiles)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError([f"{path}: {error}"]) from error


def save_profile(path: Path, name: str, profile: Profile, *, default: bool) -> None:
    """Adds or replaces a profile; whatever else a person wrote into the file stays. Raises ConfigError."""
    import tomlkit

    load_profiles(path)
    document = tomlkit.parse(path.read_text("utf-8")) if path.exists() else tomlkit.document()
    if default:
        document["default"] = name
    section = tomlkit.table()
    section.update(msgspec.to_builtins(profile))
    if "profiles" not in document:
        document["profiles"] = tomlkit.table(is_super_table=True)
    document["profiles"][name] = section
    _write(path, tomlkit.dumps(document))


def remove_profile(path: Path, name: str) -> None:
    """Takes a profile out of the file, and out of its default. Raises ConfigError."""
    import tomlkit

    _known(load_profiles(path), name, path)
    document = tomlkit.parse(path.read_text("utf-8"))
    del document["profiles"][name]
    if document.get("default") == name:
        del document["default"]
    _write(path, tomlkit.dumps(document))


def use_profile(path: Path, name: str) -> None:
    """Makes a profile the default. Raises ConfigError."""
    import tomlkit

    _known(load_profiles(path), name, path)
    document = tomlkit.parse(path.read_text("utf-8"))
    document["default"] = name
    _write(path, tomlkit.dumps(document))


def _write(path: Path, text: str) -> None:
    """Under a temporary name first: a full disk must not cost the profiles that were there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    part.write_text(text, "utf-8")
    os.replace(part, path)


def _known(found: Profiles, name: str, path: Path) -> Profile:
    if name not in found.profiles:
        there = f"there are {', '.join(sorted(found.profiles))}" if found.profiles else "there are none"
        raise ConfigError([f"{path} has no profile '{name}'; {there}. Make one with 'slackwater profiles add'"])
    return found.profiles[name]


def chosen_target(
    environment: Mapping[str, str],
    *,
    server: str | None = None,
    profile: str | None = None,
    api_key_env: str | None = None,
) -> Target:
    """The server that the options, the environment and the file mean together. Raises ConfigError, InvalidRequest."""
    if server and profile:
        raise InvalidRequest("give --server or --profile, not both")
    chosen, name = Profile(url=server or DEFAULT_URL), profile
    if not server:
        path = profiles_path(environment)
        url = environment.get("SLACKWATER_URL")
        if profile:
            chosen = _known(load_profiles(path), profile, path)
        elif url:
            chosen = Profile(url=url)
        else:
            found = load_profiles(path)
            name = environment.get("SLACKWATER_PROFILE") or found.default
            chosen = _known(found, name, path) if name else chosen
    target = target_of(chosen.url, dialect=chosen.dialect, api_version=chosen.api_version)
    where = _key_place(chosen, api_key_env, target.key_env)
    if name:
        where += f" (profile '{name}')"
    return msgspec.structs.replace(target, key=_key(environment, chosen, api_key_env, target.key_env), key_from=where)


def _key_place(chosen: Profile, named: str | None, usual: str) -> str:
    """Where `_key` looks, in words."""
    variable = named or chosen.api_key_env
    if variable is None and chosen.api_key_command:
        return "api_key_command"
    return f"the environment variable {variable or usual}"


def _key(environment: Mapping[str, str], chosen: Profile, named: str | None, usual: str) -> str | None:
    """The key: of the variable that was named, of the profile's command, or of the usual variable where that is set."""
    name = named or chosen.api_key_env
    if name:
        if not environment.get(name):
            raise ConfigError([f"the environment variable {name} is not set; set it to the server's key first"])
        return _clean(environment[name], f"the environment variable {name}")
    if chosen.api_key_command:
        ran = subprocess.run(["/bin/sh", "-c", chosen.api_key_command], stdout=subprocess.PIPE)
        if ran.returncode or not ran.stdout.strip():
            raise ConfigError([f"api_key_command gave no key (exit code {ran.returncode}): {chosen.api_key_command}"])
        return _clean(ran.stdout.decode("utf-8", "replace"), "what api_key_command prints")
    given = environment.get(usual)
    return _clean(given, f"the environment variable {usual}") if given else None


def _clean(key: str, where: str) -> str:
    """A key as it can be in a header. A line break at its end is what files and commands add."""
    key = key.strip()
    if not key.isascii() or not key.isprintable():
        raise ConfigError([f"{where} is not a key: it has characters that no key has"])
    return key
