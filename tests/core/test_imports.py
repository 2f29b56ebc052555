"""Where files may be imported from: what is no URL, whose host is not allowed, and which addresses nobody is led to."""

import pytest

from slackwater.core.errors import ImportRefused, InvalidRequest
from slackwater.core.outside.addresses import kind_of_address
from slackwater.core.outside.imports import Origins, fault_of_host

ORIGINS = Origins(
    hosts=("store.example.com", "*.blob.example.net", "10.0.0.5:9000", "[fd00::1]:9000", "old.example.com:8443")
)


@pytest.mark.parametrize(
    ("url", "authority", "path"),
    [
        ("https://store.example.com/a/b.jsonl?sv=1&sig=a%2Fb#part", "store.example.com", "/a/b.jsonl?sv=1&sig=a%2Fb"),
        ("HTTPS://STORE.Example.Com", "store.example.com", "/"),
        ("https://store.example.com./x", "store.example.com", "/x"),
        ("https://store.example.com:443/x", "store.example.com", "/x"),
        ("https://me.blob.example.net/x", "me.blob.example.net", "/x"),
        ("https://a.b.blob.example.net/x", "a.b.blob.example.net", "/x"),
        ("https://10.0.0.5:9000/x", "10.0.0.5:9000", "/x"),
        ("https://[FD00:0::1]:9000/x", "[fd00::1]:9000", "/x"),
        ("https://old.example.com:8443//x", "old.example.com:8443", "//x"),
    ],
)
def test_allowed_urls(url: str, authority: str, path: str) -> None:
    """A listed host is allowed with its own port, or else with the usual one; nothing of path and query is changed."""
    target = ORIGINS.locate(url)
    assert (target.authority, target.path) == (authority, path)


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x",
        "https://store.example.com.evil.example/x",
        "https://evilstore.example.com/x",
        "https://blob.example.net/x",
        "https://evilblob.example.net/x",
        "https://store.example.com:8443/x",
        "https://old.example.com/x",
        "https://10.0.0.5/x",
        "https://127.0.0.1/x",
        "https://2130706433/x",
        "http://store.example.com/x",
        "http://store.example.com:443/x",
    ],
)
def test_hosts_that_are_not_listed(url: str) -> None:
    """A name that only looks like a listed one, another port, and plain http are refused."""
    with pytest.raises(ImportRefused, match="under \\[imports\\]"):
        ORIGINS.locate(url)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "store.example.com/x",
        "//store.example.com/x",
        "file:///etc/passwd",
        "ftp://store.example.com/x",
        "gopher://store.example.com/x",
        "https:///x",
        "https://user:word@store.example.com/x",
        "https://store.example.com@evil.example/x",
        "https://store.example.com\\@evil.example/x",
        "https://evil.example\\.store.example.com/x",
        "https://evil.example%2f.blob.example.net/x",
        "https://store.example.com/x y",
        "https://store.example.com/x\r\nHost: evil",
        "https://store.example.com/x\x00",
        "https://store.example.com\t/x",
        "https://störe.example.com/x",
        "https://store.example.com:0/x",
        "https://store.example.com:99999/x",
        "https://store.example.com:x/x",
        "https://[::1/x",
        "https://[fe80::1%25eth0]/x",
        "https://..blob.example.net/x",
        "https://store.example.com/" + "x" * 9000,
    ],
)
def test_what_is_no_url(url: str) -> None:
    """What two readers could read differently is refused, and the parameter is named; the URL is not repeated."""
    with pytest.raises(InvalidRequest) as caught:
        ORIGINS.locate(url)
    assert caught.value.param == "content_url"
    assert "evil" not in caught.value.message


def test_plain_http_where_it_is_allowed() -> None:
    """Its usual port is 80."""
    origins = Origins(hosts=("store.example.com",), allow_http=True)
    assert origins.locate("http://store.example.com/x").port == 80


@pytest.mark.parametrize(
    ("address", "kind"),
    [
        ("93.184.215.14", None),
        ("2606:2800:21f:cb07:6820:80da:af6b:8b2c", None),
        ("64:ff9b::5db8:d70e", None),
        ("::ffff:93.184.215.14", None),
        ("10.1.2.3", "private"),
        ("172.16.0.1", "private"),
        ("172.31.255.255", "private"),
        ("192.168.1.1", "private"),
        ("100.64.0.1", "private"),
        ("100.127.255.255", "private"),
        ("192.0.0.8", "reserved"),
        ("192.0.2.1", "private"),
        ("198.18.0.1", "private"),
        ("fc00::1", "private"),
        ("fd12:3456::1", "private"),
        ("fec0::1", "private"),
        ("2001:db8::1", "private"),
        ("127.0.0.1", "loopback"),
        ("127.255.0.3", "loopback"),
        ("::1", "loopback"),
        ("169.254.169.254", "link-local or metadata"),
        ("169.254.0.1", "link-local or metadata"),
        ("fe80::1", "link-local or metadata"),
        ("fe80::1%eth0", "link-local or metadata"),
        ("168.63.129.16", "link-local or metadata"),
        ("100.100.100.200", "link-local or metadata"),
        ("192.0.0.192", "link-local or metadata"),
        ("fd00:ec2::254", "link-local or metadata"),
        ("fd20:ce::254", "link-local or metadata"),
        ("0.0.0.0", "reserved"),
        ("0.1.2.3", "reserved"),
        ("192.88.99.1", "reserved"),
        ("3fff::1", "reserved"),
        ("5f00::1", "reserved"),
        ("240.0.0.1", "reserved"),
        ("255.255.255.255", "reserved"),
        ("::", "reserved"),
        ("::7f00:1", "reserved"),
        ("64:ff9b:1::a00:1", "reserved"),
        ("224.0.0.1", "multicast"),
        ("239.255.255.255", "multicast"),
        ("ff02::1", "multicast"),
        ("::ffff:10.1.2.3", "private"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:169.254.169.254", "link-local or metadata"),
        ("64:ff9b::a9fe:a9fe", "link-local or metadata"),
        ("64:ff9b::7f00:1", "loopback"),
        ("2002:7f00:1::1", "loopback"),
        ("2002:a00:1::", "private"),
        ("2001:0:5db8:d70e:0:0:f5ff:fffe", "private"),
        ("nonsense", "malformed"),
        ("127.1", "malformed"),
    ],
)
def test_kinds_of_addresses(address: str, kind: str | None) -> None:
    """Only an address of one machine of the public internet is nobody's own, also where it is wrapped in another."""
    assert kind_of_address(address) == kind


@pytest.mark.parametrize(
    ("address", "allowed"),
    [
        ("10.1.2.3", True),
        ("127.0.0.1", True),
        ("::1", True),
        ("fd12:3456::1", True),
        ("93.184.215.14", True),
        ("169.254.169.254", False),
        ("::ffff:169.254.169.254", False),
        ("168.63.129.16", False),
        ("fd00:ec2::254", False),
        ("fe80::1", False),
        ("0.0.0.0", False),
        ("224.0.0.1", False),
    ],
)
def test_a_store_inside_the_house(address: str, allowed: bool) -> None:
    """Where private addresses are allowed, those at which clouds keep a machine's secrets still are not."""
    house = Origins(hosts=("h",), allow_private_addresses=True)
    if allowed:
        house.judge_address("h", address)
        return
    with pytest.raises(ImportRefused):
        house.judge_address("h", address)


def test_the_address_is_not_told() -> None:
    """A user learns what kind of address a name leads to, and not which."""
    with pytest.raises(ImportRefused, match="private") as caught:
        ORIGINS.judge_address("h", "10.1.2.3")
    assert "10.1" not in caught.value.message


@pytest.mark.parametrize(
    ("pattern", "sound"),
    [
        ("store.example.com", True),
        ("localhost", True),
        ("*.blob.core.windows.net", True),
        ("store_1.local:9000", True),
        ("127.0.0.1:8000", True),
        ("[::1]:8000", True),
        ("*", False),
        ("*.com", False),
        ("", False),
        ("https://store.example.com", False),
        ("store.example.com/path", False),
        ("user@store.example.com", False),
        ("store.*.com", False),
        ("a..b", False),
        ("a:", False),
        ("a:0", False),
        ("a:99999", False),
        ("a b", False),
    ],
)
def test_entries_of_the_allow_list(pattern: str, sound: bool) -> None:
    """A name, a wildcard of at least two parts, or an address, each with or without a port."""
    assert (fault_of_host(pattern) is None) is sound
