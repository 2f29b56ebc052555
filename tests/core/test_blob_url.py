"""URLs of blobs: what leads to a place that is listed, and everything that only looks as if it did."""

import pytest

from slackwater.core.files.blob_url import fault_of_url, read_root

AZURE = "https://account.blob.core.windows.net"
LISTED = read_root(f"{AZURE}/box/team")


@pytest.mark.parametrize(
    ("place", "endpoint", "url", "key"),
    [
        (f"{AZURE}/box/team", "", f"{AZURE}/box/team/a/in.jsonl", "a/in.jsonl"),
        ("az://account/box", "", f"{AZURE}/box/in%20put%C3%A4.jsonl", "in putä.jsonl"),
        ("az://account/box", "", "az://account/box/in.jsonl", "in.jsonl"),
        ("az://account/box", "", "HTTPS://Account.Blob.Core.Windows.Net/box/in.jsonl", "in.jsonl"),
        ("s3://box", "", "s3://box/a/b=1/in.jsonl", "a/b=1/in.jsonl"),
        ("s3://Box", "", "s3://Box/in.jsonl", "in.jsonl"),
        ("s3://box/x", "https://minio.test:9000/", "https://minio.test:9000/box/x/in.jsonl", "in.jsonl"),
        ("s3://box/x", "https://minio.test:9000", "s3://box/x/in.jsonl", "in.jsonl"),
        ("gs://box", "", "gs://box/in.jsonl", "in.jsonl"),
        ("file:///srv/batches", "", "file:///srv/batches/in.jsonl", "in.jsonl"),
    ],
)
def test_what_leads_there(place: str, endpoint: str, url: str, key: str) -> None:
    """In the words of each cloud, and in those of a store that imitates one."""
    assert read_root(place, endpoint).key_of(url) == key


@pytest.mark.parametrize(
    "url",
    [
        f"{AZURE}/box/teams/in.jsonl",
        f"{AZURE}/box/in.jsonl",
        f"{AZURE}/other/team/in.jsonl",
        f"{AZURE}:443/box/team/in.jsonl",
        f"{AZURE}.evil.test/box/team/in.jsonl",
        f"{AZURE}@evil.test/box/team/in.jsonl",
        f"https://evil.test/{AZURE}/box/team/in.jsonl",
        "https://user@account.blob.core.windows.net/box/team/in.jsonl",
        "http://account.blob.core.windows.net/box/team/in.jsonl",
        "https://other.blob.core.windows.net/box/team/in.jsonl",
        "https://account.blob.core.windows.net./box/team/in.jsonl",
        f"{AZURE}//box/team/in.jsonl",
        f"{AZURE}/./box/team/in.jsonl",
        f"{AZURE}/x/../box/team/in.jsonl",
        f"{AZURE}/box%2Fteam/in.jsonl",
        f"{AZURE}/b%6Fx/team/in.jsonl",
        f"{AZURE}/box\\team/in.jsonl",
        "https://169.254.169.254/box/team/in.jsonl",
        "file:///etc/passwd",
        "s3://box/team/in.jsonl",
    ],
)
def test_what_leads_elsewhere(url: str) -> None:
    """A neighbour, another account, another port, somebody who is called similarly: none of it is listed."""
    assert LISTED.key_of(url) is None
    assert LISTED.key_of(url, folder=True) is None


@pytest.mark.parametrize(
    "path",
    [
        "../secret.jsonl", "a/../../secret.jsonl", "a/./in.jsonl", "a//in.jsonl", "in.jsonl/", "", "%2e%2e/secret.jsonl",
        "%2E./secret.jsonl", "..%2Fsecret.jsonl", "..%5csecret.jsonl", "a%2fb.jsonl", "..\\secret.jsonl", "%252e%252e/in.jsonl",
        "a%00.jsonl", "a\n.jsonl", "%ff.jsonl", "a%3Fsig=x", "a%23x", "x" * 256, "/".join(["xxxx"] * 300),
    ],
)  # fmt: skip
def test_paths_that_are_none(path: str) -> None:
    """Whatever would be another path for somebody further on."""
    with pytest.raises(ValueError, match=r"its path|a name in it|can't decode"):
        LISTED.key_of(f"{AZURE}/box/team/{path}")


def test_a_folder_may_be_the_place_itself() -> None:
    """With a slash at its end, too; a blob may not."""
    for url in (f"{AZURE}/box/team", f"{AZURE}/box/team/"):
        assert LISTED.key_of(url, folder=True) == ""
    assert LISTED.key_of(f"{AZURE}/box/team/out/", folder=True) == "out"
    with pytest.raises(ValueError, match="its path"):
        LISTED.key_of(f"{AZURE}/box/team")


@pytest.mark.parametrize(
    "text", ["", "in.jsonl", "//host/x", f"{AZURE}/box/in.jsonl?sv=1&sig=secret", f"{AZURE}/box/in#secret"]
)
def test_what_is_no_url_of_a_blob(text: str) -> None:
    """It says what to do, and nothing of the text."""
    fault = fault_of_url(text)
    assert fault is not None
    assert "secret" not in fault


@pytest.mark.parametrize(
    "text",
    [
        "https://evil.test/box", AZURE, f"{AZURE}/box?sig=secret", "az://account/box?secret", "file://srv", "file:///",
        "file:///a/../b", "x",
    ],
)  # fmt: skip
def test_what_no_operator_can_list(text: str) -> None:
    """A line that says how it is written, without what was."""
    with pytest.raises(ValueError, match=r"must look like|file://") as said:
        read_root(text)
    assert "secret" not in str(said.value)
