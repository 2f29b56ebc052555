"""Addresses of object stores."""

import pytest

from slackwater.core.files.object_address import ObjectAddress, read_address


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("s3://bucket/prefix", ObjectAddress("s3", "", "bucket", "prefix")),
        ("s3://bucket", ObjectAddress("s3", "", "bucket", "")),
        ("s3://my.bucket-1/a/b_c=1/", ObjectAddress("s3", "", "my.bucket-1", "a/b_c=1")),
        ("az://account1/container/prefix", ObjectAddress("az", "account1", "container", "prefix")),
        ("gs://bucket//prefix", ObjectAddress("gs", "", "bucket", "prefix")),
    ],
)
def test_addresses(text: str, address: ObjectAddress) -> None:
    """They are read, and written as they were."""
    assert read_address(text) == address
    assert read_address(str(address)) == address


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bucket",
        "http://host/bucket",
        "s3://",
        "s3:///prefix",
        "az://account",
        "az://account.blob.core.windows.net/container",
        "az://Account/container",
        "s3://key:secret@bucket/prefix",
        "s3://bucket/prefix?sig=secret",
        "s3://bucket/a/../b",
        "s3://bucket/.hidden",
        "s3://bucket/a b",
        "s3://bucket/x.part",
        "s3://bucket:9000/x",
        "s3://[bucket/x",
    ],
)
def test_what_is_none(text: str) -> None:
    """The words do not repeat it: it may have a secret in it."""
    with pytest.raises(ValueError) as said:
        read_address(text)
    assert "secret" not in str(said.value)
