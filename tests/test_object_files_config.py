"""`[server] files` and what belongs to it: every fault has its line, and no secret is in any."""

import subprocess
import sys
from pathlib import Path

import pytest

from slackwater.config import load
from slackwater.core.errors import ConfigError
from slackwater.wiring import check_backends
from slackwater.wiring.opening import settings_of

DEPLOYMENT = '[[deployments]]\nname = "d"\n[[deployments.backends]]\necho = {}\n'
SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQ="


def written(folder: Path, server: str) -> Path:
    """A configuration with these lines under [server]."""
    path = folder / "slackwater.toml"
    path.write_text(f"[server]\n{server}\n{DEPLOYMENT}")
    return path


@pytest.mark.parametrize(
    ("server", "words"),
    [
        ('files = "http://x/y"', "files: must look like s3://BUCKET"),
        (f'files = "s3://key:{SECRET}@bucket/x"', "a key goes into files_key_env"),
        ('files_region = "eu-west-1"', "files_region: files are in the data directory"),
        ('files = "az://account/box"\nfiles_region = "eu"', "files_region: only s3:// has one"),
        ('files = "gs://bucket"\nfiles_endpoint = "https://x"', "files_endpoint: gs:// has none"),
        ('files = "s3://bucket"\nfiles_endpoint = "minio:9000"', "files_endpoint: must look like"),
        (f'files = "s3://bucket"\nfiles_endpoint = "https://k:{SECRET}@minio:9000"', "files_endpoint: must look like"),
        ('files = "s3://bucket"\nfiles_key_env = "NOT_THERE"', "NOT_THERE is not set"),
    ],
)
def test_faults(tmp_path: Path, server: str, words: str) -> None:
    """Each has its line."""
    with pytest.raises(ConfigError) as said:
        load(written(tmp_path, server), {})
    (fault,) = said.value.faults
    assert words in fault
    assert SECRET not in fault


@pytest.mark.parametrize(
    ("files", "secret"), [("s3://bucket", SECRET), ("az://account/box", "not base64!"), ("gs://bucket", SECRET)]
)
def test_a_key_of_another_form(tmp_path: Path, files: str, secret: str) -> None:
    """It is a fault of the configuration, which is found without asking the store."""
    config = load(written(tmp_path, f'files = "{files}"\nfiles_key_env = "KEY"'), {"KEY": secret})
    with pytest.raises(ConfigError, match="files_key_env") as said:
        check_backends(config)
    assert secret not in str(said.value.faults)


def test_what_is_right(tmp_path: Path) -> None:
    """The key is taken from the environment; results are collected for longer, and as long as somebody wishes."""
    server = 'files = "az://account/box/x"\nfiles_key_env = "KEY"'
    config = load(written(tmp_path, server), {"KEY": SECRET})
    check_backends(config)
    assert config.files_secret == SECRET
    assert (settings_of(config).worker.commit_seconds, settings_of(config).worker.kept_bytes) == (1.5, 0)
    config = load(written(tmp_path, server + "\n[worker]\ncommit_seconds = 5.0"), {"KEY": SECRET})
    assert settings_of(config).worker.commit_seconds == 5.0
    assert settings_of(load(written(tmp_path, ""), {})).worker.commit_seconds == 0.2


def test_a_folder_needs_none_of_it() -> None:
    """Nothing of object stores is imported by a server, or a look at one, whose files are in its data directory."""
    asked = (
        "import slackwater.cli.serve, slackwater.cli.run, slackwater.wiring.doctor, sys; "
        "print([name for name in sys.modules if 'obstore' in name])"
    )
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stderr
