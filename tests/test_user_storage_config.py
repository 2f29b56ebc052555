"""`[[storage]]`: every fault has its line, and no secret is in any."""

from pathlib import Path

import pytest

from slackwater.config import load
from slackwater.core.errors import ConfigError
from slackwater.wiring import check_backends
from slackwater.wiring.user_storages import user_storages_of

DEPLOYMENT = '[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n'
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="
AZURE = "https://account.blob.core.windows.net/box"


def written(folder: Path, storage: str) -> Path:
    """A configuration with these lines under [[storage]]."""
    path = folder / "slackwater.toml"
    path.write_text(f"[[storage]]\n{storage}\n{DEPLOYMENT}")
    return path


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        ("", "storage 1: url is missing"),
        ('url = "https://x.test/y"', "storage 1: url: must look like https://ACCOUNT.blob.core.windows.net/CONTAINER"),
        (f'url = "{AZURE}?sig={SECRET}"', "storage 1: url: must look like"),
        (f'url = "s3://key:{SECRET}@box"', "storage 1: url: must look like"),
        ('url = "file://relative"', "storage 1: url: file:// needs the path of a folder"),
        (f'url = "{AZURE}"\nresource = "nobody"', "storage 1: there is no resource 'nobody'"),
        (f'url = "{AZURE}"\nregion = "eu"', "storage 1: region: only s3:// has one"),
        ('url = "gs://box"\nendpoint = "https://x"', "storage 1: endpoint: gs:// has none"),
        (f'url = "s3://box"\nendpoint = "https://k:{SECRET}@x"', "storage 1: endpoint: must look like"),
        ('url = "file:///srv"\nkey_env = "KEY"', "storage 1: key_env: a folder has no key"),
        ('url = "s3://box"\nkey_env = "NOT_THERE"', "NOT_THERE is not set"),
        ('url = "s3://box"\nkeys = "x"', "storage 1: unknown setting 'keys'"),
    ],
)
def test_faults(tmp_path: Path, storage: str, words: str) -> None:
    """Each has its line."""
    with pytest.raises(ConfigError) as said:
        load(written(tmp_path, storage), {"KEY": SECRET})
    assert words in str(said.value)
    assert SECRET not in str(said.value)


@pytest.mark.parametrize(
    ("storage", "words"),
    [
        (f'url = "{AZURE}"\nkey_env = "KEY"', ""),
        ('url = "s3://box"\nkey_env = "KEY"', "storage 1: key_env KEY: s3://box: the key is not KEY_ID:SECRET"),
        ('url = "gs://box"\nkey_env = "KEY"', "storage 1: key_env KEY: gs://box: the key is not the JSON of a service"),
        ('url = "file:///nowhere/at/all"', "storage 1: file:///nowhere/at/all: there is no such folder"),
        ('url = "file:///etc/hosts"', "storage 1: file:///etc/hosts is no folder"),
    ],
)
def test_what_only_an_opening_shows(tmp_path: Path, storage: str, words: str) -> None:
    """A key of another form, and a folder that is not there."""
    pytest.importorskip("obstore")
    config = load(written(tmp_path, storage), {"KEY": SECRET})
    if not words:
        check_backends(config)
        return
    with pytest.raises(ConfigError) as said:
        check_backends(config)
    assert words in str(said.value)
    assert SECRET not in str(said.value)


def test_nothing_is_allowed_without_a_section(tmp_path: Path) -> None:
    """And no library is looked for."""
    path = tmp_path / "slackwater.toml"
    path.write_text(DEPLOYMENT)
    assert user_storages_of(load(path, {})) is None


def test_a_key_is_in_no_text_of_them(tmp_path: Path) -> None:
    """Whoever prints one sees a place."""
    pytest.importorskip("obstore")
    config = load(written(tmp_path, f'url = "{AZURE}"\nkey_env = "KEY"'), {"KEY": SECRET})
    storages = user_storages_of(config)
    assert storages is not None
    assert SECRET not in repr(storages) + repr(vars(storages))
