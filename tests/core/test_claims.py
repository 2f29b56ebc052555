"""Claims of a verified token: which resource, which role, which name; and who gets nothing."""

from typing import Any

import pytest

from slackwater.core.accounts.claims import ClaimRules, fault_of_issuer_url, looks_like_jwt, principal_of
from slackwater.core.accounts.resource import Principal, Role
from slackwater.core.errors import PermissionDenied, TokenRefused

RESOURCES = frozenset({"default", "red", "blue"})


def rules(**changes: Any) -> ClaimRules:
    """Rules of a service with three resources."""
    return ClaimRules(**{"resources": RESOURCES} | changes)


def claims(**changes: Any) -> dict[str, Any]:
    """Claims that lead somewhere."""
    return {"sub": "s-1", "roles": ["user"], "slackwater_resource": "red"} | changes


def test_values_may_be_names() -> None:
    """Without maps, the claims hold the names of a resource and of roles."""
    assert principal_of(claims(), rules()) == Principal(resource="red", role=Role.USER, name="token/s-1")


@pytest.mark.parametrize(
    ("value", "role"),
    [
        (["reader", "admin", "user"], Role.ADMIN),
        (["reader"], Role.READER),
        ("user", Role.USER),
        (["something else", "reader"], Role.READER),
        ([1, None, {"admin": 1}, "reader"], Role.READER),
    ],
)
def test_the_highest_role_counts(value: Any, role: Role) -> None:
    """Of several roles the highest; what is no role, or no text, is passed over."""
    assert principal_of(claims(roles=value), rules()).role is role


@pytest.mark.parametrize(
    "value", [None, [], "", "Admin", "admin user", ["admin "], 1, True, {"admin": True}, [["admin"]]]
)
def test_no_role(value: Any) -> None:
    """Whoever has no role is known and refused, unless there is a role for everybody. The claim is named, not repeated."""
    with pytest.raises(PermissionDenied, match="claim 'roles' gives no role") as caught:
        principal_of(claims(roles=value), rules())
    assert "dmin" not in caught.value.message
    assert principal_of(claims(roles=value), rules(default_role=Role.READER)).role is Role.READER


def test_a_role_map_replaces_the_names() -> None:
    """With a map, only its values count: a directory's own `admin` is not ours."""
    mapped = rules(role_map={"Batch.Write": Role.USER, "Batch.Own": Role.ADMIN})
    assert principal_of(claims(roles=["Batch.Write"]), mapped).role is Role.USER
    assert principal_of(claims(roles=["Batch.Write", "Batch.Own"]), mapped).role is Role.ADMIN
    with pytest.raises(PermissionDenied):
        principal_of(claims(roles=["admin"]), mapped)


def test_a_resource_map() -> None:
    """Any value of a list may lead to a resource; of several, the first of the map counts, in whatever order a token has them."""
    mapped = rules(resource_claim="groups", resource_map={"g-blue": "blue", "g-red": "red"})
    assert principal_of(claims(groups=["x", "g-red"]), mapped).resource == "red"
    assert principal_of(claims(groups=["g-red", "g-blue"]), mapped).resource == "blue"
    with pytest.raises(PermissionDenied, match="does not lead to a resource"):
        principal_of(claims(groups=["red", "blue", "default"]), mapped)


@pytest.mark.parametrize("value", [None, [], "", "green", ["green"], 7, "Red", "red "])
def test_no_resource(value: Any) -> None:
    """A claim that leads to none of our resources is refused, unless there is a resource for everybody."""
    with pytest.raises(PermissionDenied, match="does not lead to a resource") as caught:
        principal_of(claims(slackwater_resource=value), rules())
    assert "green" not in caught.value.message
    assert principal_of(claims(slackwater_resource=value), rules(default_resource="blue")).resource == "blue"


def test_several_resources() -> None:
    """Between resources that a token names itself, nothing is guessed; one that is not ours does not count."""
    with pytest.raises(PermissionDenied, match="several resources"):
        principal_of(claims(slackwater_resource=["red", "blue"]), rules())
    assert principal_of(claims(slackwater_resource=["red", "red", "green"]), rules()).resource == "red"


def test_the_host_name_chooses() -> None:
    """Whoever calls the host of a resource is in that one, if the token leads there, and nowhere else."""
    named = claims(slackwater_resource=["red", "blue"])
    assert principal_of(named, rules(), asked="blue").resource == "blue"
    mapped = rules(resource_claim="groups", resource_map={"g-blue": "blue", "g-red": "red"})
    assert principal_of(claims(groups=["g-red", "g-blue"]), mapped, asked="red").resource == "red"
    for options in ({}, {"default_resource": "default"}):
        with pytest.raises(PermissionDenied, match="does not lead to this resource"):
            principal_of(claims(), rules(**options), asked="blue")
    assert principal_of(claims(slackwater_resource=None), rules(default_resource="red"), asked="red").resource == "red"


def test_claims_at_a_path() -> None:
    """A name with dots is a claim of that name first, and a path into the claims otherwise."""
    nested = {"realm_access": {"roles": ["admin"]}, "https://example.com/roles": ["reader"]}
    assert principal_of(claims() | nested, rules(role_claim="realm_access.roles")).role is Role.ADMIN
    assert principal_of(claims() | nested, rules(role_claim="https://example.com/roles")).role is Role.READER
    for path in ("realm_access.roles.0", "roles.x", "a.b", ".", "realm_access"):
        with pytest.raises(PermissionDenied):
            principal_of(claims() | nested, rules(role_claim=path))


def test_scopes_are_separated_by_spaces() -> None:
    """`scp` holds several values in one text; no other claim does."""
    assert principal_of(claims(scp="openid reader user"), rules(role_claim="scp")).role is Role.USER
    with pytest.raises(PermissionDenied):
        principal_of(claims(roles="reader user"), rules())


def test_tenants() -> None:
    """Where tenants are listed, a token of another one, or of none, is refused whatever else it says."""
    listed = rules(tenants=("t-1", "t-2"))
    assert principal_of(claims(tid="t-2"), listed).resource == "red"
    for value in ("t-3", "", None, ["t-1"], 1):
        with pytest.raises(TokenRefused, match="tenant"):
            principal_of(claims(tid=value), listed)


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"preferred_username": "ann@example.com"}, "token/ann@example.com/s-1"),
        ({"upn": "ann@example.com", "appid": "a-1"}, "token/ann@example.com/s-1"),
        ({"azp": "a-1"}, "token/a-1/s-1"),
        ({"azp": "s-1"}, "token/s-1"),
        ({"upn": 5, "appid": ""}, "token/s-1"),
        ({"upn": "a b\nrole=admin\u202e"}, "token/a_b_role=admin_/s-1"),
        ({"sub": "s" * 500}, "token/" + "s" * 194),
    ],
)
def test_names_for_the_audit_log(changes: dict[str, Any], name: str) -> None:
    """The subject is always there, and a name for people before it; neither can break out of its line."""
    assert principal_of(claims(**changes), rules()).name == name


@pytest.mark.parametrize(
    ("text", "is_token"),
    [
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_", True),
        ("eyJhbGciOiJub25lIn0.eyJzdWIiOiIxIn0.", True),
        ("eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiIxIn0", False),
        ("eyJhbGciOiJSUzI1NiJ9..x", False),
        ("eyJh.b.c.d.e", False),
        ("eyJh.b b.c", False),
        ("eyJh.b.é", False),
        ("eyJh.b.c\n", False),
        ("sw-q3Vv0QkW7B1y", False),
        ("sk-proj.with.dots", False),
        ("", False),
    ],
)
def test_what_looks_like_a_token(text: str, is_token: bool) -> None:
    """Three parts in base64url, the first a JSON object, the last perhaps empty. Keys do not look so."""
    assert looks_like_jwt(text) is is_token


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://login.example.com/tenant/v2.0", None),
        ("https://sts.example.com:8443/tenant/", None),
        ("http://127.0.0.1:9000", None),
        ("http://[::1]:9000/x", None),
        ("http://localhost/x", None),
        ("http://login.example.com/tenant", "plain http is for loopback only"),
        ("http://127.0.0.1.example.com/", "plain http is for loopback only"),
        ("login.example.com", "must look like"),
        ("ftp://login.example.com", "must look like"),
        ("https://", "must look like"),
        ("https://a:99999/", "is not a URL"),
        ("https://[::1/", "is not a URL"),
        ("https://u:p@a.example/", "without a user name"),
        ("https://a.example/#x", "fragment"),
        ("https://a.example/a b", "spaces"),
        ("", "must look like"),
    ],
)
def test_urls_of_issuers(url: str, words: str | None) -> None:
    """Keys are fetched over https, or over http from this machine, and from nowhere else."""
    fault = fault_of_issuer_url(url)
    assert fault is None if words is None else words in (fault or "")
