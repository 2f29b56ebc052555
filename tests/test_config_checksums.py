"""Checksums of sections, by which members of one ledger see that their configurations differ: of what, and of what not."""

import re
from pathlib import Path

from slackwater.config import load
from slackwater.config.checksums import checksums

TEXT = """
[server]
port = 8080
api_key_envs = ["KEY"]
[[deployments]]
name = "d"
[[deployments.backends]]
url = "http://user:hunter2@engine:8000/v1?key=hunter2"
api_key_env = "ENGINE_KEY"
headers = { x-team = "tides" }
[[engines]]
url = "http://engine:8000"
concurrency = 8
"""
KEYS = {"KEY": "one-key-of-many", "ENGINE_KEY": "another-key-of-many"}


def of(place: Path, text: str, *, ledger: str = "ledger", keys: dict[str, str] = KEYS) -> dict[str, str]:
    """The checksums of a configuration file."""
    (place / "slackwater.toml").write_text(text)
    return checksums(load(place / "slackwater.toml", keys), ledger)


def test_the_same_configuration_has_the_same_checksums(tmp_path: Path) -> None:
    """Also with other words for it; each is short. What a ledger has is of no use at another one."""
    found = of(tmp_path, TEXT)
    assert {"deployments", "engines"} <= set(found)
    assert all(re.fullmatch("[0-9a-f]{8}", each) for each in found.values())
    assert of(tmp_path, TEXT.replace('name = "d"', "name = 'd' # again")) == found
    other = of(tmp_path, TEXT, ledger="another")
    assert set(other) == set(found)
    assert not set(other.values()) & set(found.values())


def test_the_section_that_differs_is_told(tmp_path: Path) -> None:
    """And only that one; the place of a section says nothing."""
    found = of(tmp_path, TEXT)
    for before, after, section in (
        ("concurrency = 8", 'concurrency = 8\nslices = "never"', "engines"),
        ('name = "d"', 'name = "e"', "deployments"),
        ("[[engines]]", "[limits]\nrequests_per_file = 5\n[[engines]]", "limits"),
        # Which keys are taken, which answers are too large, what is kept, and who may call from where.
        ('["KEY"]', "[]", "server.api_key_envs"),
        ("port = 8080", 'port = 8080\ncors_origins = ["https://app.example"]', "server.cors_origins"),
        ("port = 8080", "port = 8080\nlost_keep_days = 30", "server.lost_keep_days"),
        ("port = 8080", 'port = 8080\nfiles = "s3://bucket/prefix"', "server.files"),
        ("[[engines]]", "[worker]\nanswer_bytes = 1000000\n[[engines]]", "worker.answer_bytes"),
        ("[[engines]]", '[studio]\npublic_url = "https://batch.example"\n[[engines]]', "studio.public_url"),
    ):
        other = of(tmp_path, TEXT.replace(before, after))
        assert {name for name in {*found, *other} if found.get(name) != other.get(name)} == {section}


def test_what_may_be_another_one_at_each(tmp_path: Path) -> None:
    """What is a machine's or a process's own, and where its files lie."""
    found = of(tmp_path, TEXT)
    (tmp_path / "authority.pem").write_text("")
    for before, after in (
        ("port = 8080", 'port = 9090\nhost = "127.0.0.2"\ndata = "elsewhere"'),
        ("port = 8080", 'peers = "/dev/shm"\nfree_bytes_min = 1\ngzip_downloads = false'),
        ("[[engines]]", "[worker]\ngrace_seconds = 5.0\nmemory_bytes = 200000000\n[[engines]]"),
        ("[[engines]]", "[front_door]\nconnections = 64\n[studio]\nenabled = false\n[[engines]]"),
        ("[[engines]]", '[metrics]\nlisten = "127.0.0.1:9091"\n[[engines]]'),
    ):
        assert of(tmp_path, TEXT.replace(before, after)) == found


def test_no_secret_is_in_them(tmp_path: Path) -> None:
    """Whoever guesses one cannot see by a checksum whether that is right: they are the same whatever it is."""
    found = of(tmp_path, TEXT)
    assert of(tmp_path, TEXT.replace("hunter2", "hunter3")) == found
    assert of(tmp_path, TEXT.replace('"tides"', '"of-secrets"')) == found
    assert of(tmp_path, TEXT, keys={"KEY": "yet-another", "ENGINE_KEY": "and-another"}) == found
    assert of(tmp_path, TEXT.replace("x-team", "x-other"))["deployments"] != found["deployments"]
