"""Tokens against a real issuer: whom to believe, with which key, for whom, until when."""

import json
import logging
import time
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from slackwater.adapters.identity.jwt_verifier import TOKEN_LENGTH_MAX
from slackwater.core.errors import PermissionDenied, TokenRefused
from tests.adapters.conftest import Run
from tests.adapters.tokens import ANN, verified, verifier
from tests.issuer import AUDIENCE, DISCOVERY, EC_KEY, JWKS, RSA_KEYS, Issuer, part, public_jwk


def test_a_good_token(run: Run[Any], issuer: Issuer) -> None:
    """Keys come from where the issuer's own configuration says."""
    assert verified(run, issuer.token(), issuer) == ANN
    assert issuer.asked == {DISCOVERY: 1, JWKS: 1}


def test_keys_at_a_configured_place(run: Run[Any], issuer: Issuer) -> None:
    """With `jwks_url`, the issuer's configuration is not asked for."""
    issuer.answers["/elsewhere"] = json.dumps({"keys": issuer.published}).encode()
    assert verified(run, issuer.token(), issuer, jwks_url=f"{issuer.url}/elsewhere") == ANN
    assert issuer.asked == {"/elsewhere": 1}


@pytest.mark.parametrize("tenant", ["/tenant/", "/tenant/v2.0"])
def test_both_forms_of_entra(run: Run[Any], tenant: str) -> None:
    """An issuer with a path, with a slash behind it or without, is asked below that path and found by its exact name."""
    with Issuer(tenant) as running:
        assert verified(run, running.token(), running) == ANN
        with pytest.raises(TokenRefused, match="does not trust"):
            verified(run, running.token(iss=running.url.rstrip("/") + "/x"), running)


def test_the_library_and_the_curves(run: Run[Any], issuer: Issuer) -> None:
    """What the operator lists can be used, each with the keys that fit it."""
    curve = ec.generate_private_key(ec.SECP384R1())
    keys: dict[str, tuple[Any, list[str]]] = {
        "rsa": (RSA_KEYS[0], ["RS256", "RS384", "PS256"]),
        "ec": (EC_KEY, ["ES256"]),
        "ec384": (curve, ["ES384"]),
        "ed": (ed25519.Ed25519PrivateKey.generate(), ["EdDSA"]),
    }
    issuer.published = [public_jwk(key, kid) for kid, (key, _) in keys.items()]

    async def work() -> None:
        every = [algorithm for _, algorithms in keys.values() for algorithm in algorithms]
        tokens = verifier(issuer, algorithms=every)
        for kid, (key, algorithms) in keys.items():
            for algorithm in algorithms:
                assert await tokens.verify(issuer.token(kid=kid, key=key, alg=algorithm)) == ANN
        await tokens.close()

    run(work())


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"exp": int(time.time()) - 120}, "expired"),
        ({"nbf": int(time.time()) + 300}, "not valid yet"),
        ({"iat": int(time.time()) + 300}, "not valid yet"),
        ({"aud": "https://graph.microsoft.com"}, "another service"),
        ({"aud": []}, "lacks a claim"),
        ({"aud": "https://cognitiveservices.azure.com.evil.example"}, "another service"),
        ({"aud": None}, "lacks a claim"),
        ({"exp": None}, "lacks a claim"),
        ({"sub": None}, "lacks a claim"),
        ({"iss": None}, "does not trust"),
        ({"iss": "https://evil.example"}, "does not trust"),
        ({"exp": "soon"}, "cannot be read"),
        ({"exp": float("inf")}, "cannot be read"),
        ({"kid": None}, "does not say which key"),
        ({"headers": {"crit": ["x"], "x": 1}}, "cannot be read"),
    ],
)
def test_tokens_that_are_refused(run: Run[Any], issuer: Issuer, changes: dict[str, Any], words: str) -> None:
    """Expired, early, for somebody else, by somebody else, incomplete: each in its own words, which have no part of the token."""
    token = issuer.token(**changes)
    with pytest.raises(TokenRefused, match=words) as caught:
        verified(run, token, issuer)
    assert caught.value.given
    assert not any(piece in caught.value.message for piece in (*token.split("."), "subject-1", "graph", "evil"))


def test_clocks_that_differ(run: Run[Any], issuer: Issuer) -> None:
    """Up to the skew, a token is still or already good."""
    now = int(time.time())
    assert verified(run, issuer.token(exp=now - 30, nbf=now - 600, iat=now - 600), issuer) == ANN
    assert verified(run, issuer.token(nbf=now + 30, iat=now + 30), issuer) == ANN
    with pytest.raises(TokenRefused, match="expired"):
        verified(run, issuer.token(exp=now - 30), issuer, clock_skew_seconds=0.0)


def test_one_of_several_audiences(run: Run[Any], issuer: Issuer) -> None:
    """A list fits by any of its entries; the slash at the end is as configured."""
    assert verified(run, issuer.token(aud=["https://other.example", f"{AUDIENCE}/"]), issuer) == ANN
    with pytest.raises(TokenRefused, match="another service"):
        verified(run, issuer.token(aud=["https://other.example", None]), issuer)


def test_a_public_key_is_no_secret(run: Run[Any], issuer: Issuer) -> None:
    """HS256 with the public key, in any spelling, and no signature at all: nothing but the listed algorithms counts."""
    published = issuer.published[0]
    pem = (
        RSA_KEYS[0]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    algorithm = jwt.algorithms.HMACAlgorithm(jwt.algorithms.HMACAlgorithm.SHA256)
    claims = part(issuer.claims())
    for name in ("HS256", "hs256", "none", "None", "", None, "RS512", ["RS256"], 256):
        signed = f"{part({'alg': name, 'kid': 'key-1'})}.{claims}"
        for secret in (pem, pem.strip(), json.dumps(published).encode(), published["n"].encode(), b""):
            signature = part(algorithm.sign(signed.encode(), secret)) if secret else ""
            with pytest.raises(TokenRefused, match="algorithm"):
                verified(run, f"{signed}.{signature}", issuer)
    assert not issuer.asked


@pytest.mark.filterwarnings("ignore::jwt.warnings.InsecureKeyLengthWarning")
def test_algorithms_stay_with_their_keys(run: Run[Any], issuer: Issuer) -> None:
    """A key is used as its issuer says: not for another algorithm, not for another purpose, not on another curve."""
    curve = ec.generate_private_key(ec.SECP384R1())
    small = rsa.generate_private_key(65537, 1024)
    issuer.published = [
        public_jwk(RSA_KEYS[0], "other-alg", alg="RS512"),
        public_jwk(RSA_KEYS[0], "encryption", use="enc"),
        public_jwk(curve, "curve"),
        public_jwk(small, "small"),
        {"kty": "oct", "kid": "secret", "k": part(b"0" * 32)},
    ]
    refused = [
        issuer.token(kid="other-alg", key=RSA_KEYS[0]),
        issuer.token(kid="encryption", key=RSA_KEYS[0]),
        issuer.token(kid="small", key=small),
        issuer.token(kid="curve", key=EC_KEY, alg="ES256"),
        issuer.token(kid="secret", key=RSA_KEYS[0]),
    ]
    for token in refused:
        with pytest.raises(TokenRefused):
            verified(run, token, issuer)


def test_signatures(run: Run[Any], issuer: Issuer) -> None:
    """Somebody else's key under our key's name, changed claims, or somebody else's signature: all wrong."""
    header, claims, signature = issuer.token().split(".")
    forged = part(issuer.claims(roles=["admin"]))
    other = issuer.token(roles=["admin"]).split(".")[2]
    for token in (
        issuer.token(key=RSA_KEYS[1]),
        f"{header}.{forged}.{signature}",
        f"{header}.{claims}.{other}",
        f"{header}.{claims}.",
    ):
        with pytest.raises(TokenRefused, match="signature of the token is wrong"):
            verified(run, token, issuer)


def test_keys_belong_to_their_issuer(run: Run[Any], issuer: Issuer) -> None:
    """A trusted issuer cannot sign for another one, although both are trusted."""
    with Issuer() as other:
        other.rotate("key-1", RSA_KEYS[1])
        assert verified(run, other.token(), issuer, other) == ANN
        with pytest.raises(TokenRefused, match="signature"):
            verified(run, other.token(iss=issuer.url), issuer, other)


@pytest.mark.parametrize(
    "token",
    [
        "a.b.c",
        "..",
        "",
        "eyJ",
        "é.é.é",
        f"{part(b'[]')}.{part(b'{}')}.x",
        f"{part(b'null')}.{part(b'null')}.",
        f"{part(b'{' * 5000)}.{part(b'{}')}.xx",
        f"{part({'alg': 'RS256', 'kid': 'key-1'})}.{part(b'[' * 5000)}.xx",
        f"{part({'alg': 'RS256', 'kid': ['key-1']})}.{part(b'{}')}.xx",
        f"{part({'alg': 'RS256', 'kid': 'key-1', 'b64': False, 'crit': ['b64']})}..xx",
        f"{part(bytes(range(128, 256)))}.{part(b'{}')}.xx",
    ],
)
def test_garbage(run: Run[Any], issuer: Issuer, token: str) -> None:
    """What is no token is said to be none, and costs the issuer nothing."""
    with pytest.raises(TokenRefused, match="cannot be read"):
        verified(run, token, issuer)
    assert not issuer.asked


def test_a_long_token(run: Run[Any], issuer: Issuer) -> None:
    """Nothing longer than any real token is even looked at; a long one that is real is read."""
    assert verified(run, issuer.token(groups=["0" * 36] * 200), issuer) == ANN
    with pytest.raises(TokenRefused, match="longer than"):
        verified(run, issuer.token(filler="x" * TOKEN_LENGTH_MAX), issuer)


def test_who_has_no_role(run: Run[Any], issuer: Issuer) -> None:
    """A good token without a role is told from a bad one."""
    with pytest.raises(PermissionDenied, match="gives no role"):
        verified(run, issuer.token(roles=None), issuer)


def test_nothing_of_a_token_is_logged(run: Run[Any], issuer: Issuer, caplog: pytest.LogCaptureFixture) -> None:
    """Neither a good token nor a bad one leaves a trace, and an error carries none in its cause."""
    caplog.set_level(logging.DEBUG, "slackwater")
    good, bad = (
        issuer.token(),
        [issuer.token(key=RSA_KEYS[1]), issuer.token(kid="subject-1", key=RSA_KEYS[1]), "eyJ.x.y"],
    )
    assert verified(run, good, issuer) == ANN
    for token in bad:
        with pytest.raises(TokenRefused) as caught:
            verified(run, token, issuer)
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
    assert "issuer_keys_fetched" in caplog.text
    assert "subject-1" not in caplog.text
    assert not any(piece in caplog.text for token in (good, *bad[:2]) for piece in token.split("."))
