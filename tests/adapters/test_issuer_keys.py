"""Keys that change, and issuers in trouble: what they may cost, and whom they may keep out."""

import asyncio
import json
import threading
from typing import Any

import jwt
import pytest

from slackwater.adapters.identity.issuer_keys import DOCUMENT_BYTES_MAX, KEYS_MAX
from slackwater.core.accounts.resource import Principal
from slackwater.core.errors import IssuerUnavailable, TokenRefused
from tests.adapters.conftest import Run
from tests.adapters.tokens import ANN, SetClock, verified, verifier
from tests.issuer import DISCOVERY, EC_KEY, JWKS, RSA_KEYS, Issuer, part


def test_a_new_key_is_found_without_a_restart(run: Run[Any], issuer: Issuer) -> None:
    """A token with a key that is not known makes the keys be fetched; what was withdrawn is not accepted any more."""

    async def work() -> None:
        clock = SetClock()
        tokens = verifier(issuer, clock=clock)
        old = issuer.token()
        await tokens.verify(old)
        issuer.rotate("key-2")
        clock.passed = 10.0
        assert await tokens.verify(issuer.token(kid="key-2")) == ANN
        with pytest.raises(TokenRefused, match="does not publish"):
            await tokens.verify(old)
        await tokens.close()

    run(work())


def test_a_withdrawn_key_ends_with_the_cache(run: Run[Any], issuer: Issuer) -> None:
    """A key that nobody names any more is not accepted once its time is over, however long nobody came."""

    async def work() -> None:
        clock = SetClock()
        tokens = verifier(issuer, clock=clock)
        await tokens.verify(issuer.token())
        issuer.published = []
        clock.passed = 99.0
        await tokens.verify(issuer.token())
        clock.passed = 100.0
        with pytest.raises(TokenRefused, match="does not publish"):
            await tokens.verify(issuer.token())
        await tokens.close()

    run(work())


def test_invented_keys_do_not_hammer_the_issuer(run: Run[Any], issuer: Issuer) -> None:
    """However many tokens with unknown keys come, the keys are fetched once per interval; good tokens pass meanwhile."""

    async def work() -> None:
        clock = SetClock()
        tokens = verifier(issuer, clock=clock)
        good, invented = issuer.token(), [issuer.token(kid=f"x{n}", key=RSA_KEYS[1]) for n in range(100)]
        for round_number in range(3):
            clock.passed = 10.0 * round_number
            answers = await asyncio.gather(
                *(tokens.verify(token) for token in (*invented, good)), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [TokenRefused] * 100 + [Principal]
            clock.passed += 9.9
            with pytest.raises(TokenRefused, match="does not publish"):
                await tokens.verify(invented[0])
            assert issuer.asked[JWKS] == issuer.asked[DISCOVERY] == round_number + 1
        await tokens.close()

    run(work())


def test_many_first_callers_share_one_fetch(run: Run[Any], issuer: Issuer) -> None:
    """Whoever comes while the keys are fetched waits for the same ones; who goes away does not take them from the others."""
    issuer.hold = threading.Event()

    async def work() -> None:
        tokens = verifier(issuer)
        callers = [asyncio.create_task(tokens.verify(issuer.token())) for _ in range(20)]
        while not issuer.asked[DISCOVERY]:
            await asyncio.sleep(0)
        callers[0].cancel()
        assert issuer.hold is not None
        issuer.hold.set()
        answers = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(answers[0], asyncio.CancelledError)
        assert answers[1:] == [ANN] * 19
        await tokens.close()

    run(work())
    assert issuer.asked == {DISCOVERY: 1, JWKS: 1}


GARBAGE: list[tuple[str, bytes]] = [
    (DISCOVERY, b""),
    (DISCOVERY, b"<html>"),
    (DISCOVERY, b'{"issuer": "https://other.example", "jwks_uri": "ISSUER/keys"}'),
    (DISCOVERY, b'{"issuer": "ISSUER"}'),
    (DISCOVERY, b'{"issuer": "ISSUER", "jwks_uri": "http://evil.example/keys"}'),
    (DISCOVERY, b'{"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}'),
    (DISCOVERY, b'{"issuer": "ISSUER", "jwks_uri": "ISSUER/nowhere"}'),
    (JWKS, b"[]"),
    (JWKS, b'{"keys": {}}'),
    (JWKS, b'{"keys": [' + b"[" * 100_000 + b"]}"),
    (JWKS, b"\xff\xfe{}"),
    (JWKS, b'{"keys": [' + b",".join([b"{}"] * (KEYS_MAX + 1)) + b"]}"),
    (JWKS, b'{"keys": [], "x": "' + b"x" * DOCUMENT_BYTES_MAX + b'"}'),
]


@pytest.mark.parametrize(("path", "body"), GARBAGE, ids=[f"{path[-4:]}-{body[:30]!r}" for path, body in GARBAGE])
def test_documents_that_are_no_keys(run: Run[Any], issuer: Issuer, path: str, body: bytes) -> None:
    """No document of an issuer can do more than leave its tokens unchecked for now: that is said, and old keys stay in use."""
    body = body.replace(b"ISSUER", issuer.url.encode())

    async def work() -> None:
        clock = SetClock()
        before = verifier(issuer, clock=clock)
        await before.verify(issuer.token())
        issuer.answers[path] = body
        fresh = verifier(issuer)
        with pytest.raises(IssuerUnavailable, match="Try again"):
            await fresh.verify(issuer.token())
        clock.passed = 200.0
        assert await before.verify(issuer.token()) == ANN
        await fresh.close()
        await before.close()

    run(work())


def test_a_bad_key_does_not_spoil_the_others(run: Run[Any], issuer: Issuer) -> None:
    """What cannot be read among the keys is passed over."""
    bad: list[Any] = [
        {},
        None,
        "x",
        {"kty": "RSA", "kid": 5},
        {"kty": "RSA", "kid": "a", "n": "!", "e": "AQAB"},
        {"kty": "RSA", "kid": "b"},
        {"kty": "RSA", "kid": "c", "n": "AQAB", "e": "AA"},
        {"kty": "EC", "kid": "d", "crv": "P-256", "x": part(b"1" * 32), "y": part(b"2" * 32)},
        {"kty": "EC", "kid": "e", "crv": "P-999", "x": "AA", "y": "AA"},
        {"kty": "ML-DSA", "kid": "f"},
    ]
    # A key with its private parts is used as the public key that it should have been.
    private = json.loads(jwt.algorithms.ECAlgorithm.to_jwk(EC_KEY)) | {"kid": "leaked"}
    issuer.published = [*bad, private, *issuer.published]
    assert verified(run, issuer.token(), issuer) == ANN
    assert verified(run, issuer.token(kid="leaked", key=EC_KEY, alg="ES256"), issuer) == ANN


def test_an_outage(run: Run[Any]) -> None:
    """While the issuer is down, known keys go on for a bounded time; unknown ones cannot be told, and are not called wrong."""

    async def work() -> None:
        clock = SetClock()
        with Issuer() as issuer:
            tokens = verifier(issuer, clock=clock)
            good, new = issuer.token(), issuer.token(kid="key-2", key=RSA_KEYS[1])
            await tokens.verify(good)
            issuer.status = 503
            clock.passed = 100.0
            assert await tokens.verify(good) == ANN
            with pytest.raises(IssuerUnavailable):
                await tokens.verify(new)
            for _ in range(20):
                await tokens.verify(good)
            assert issuer.asked[DISCOVERY] == 2
        clock.passed = 999.0
        assert await tokens.verify(good) == ANN
        await tokens.close()
        clock.passed = 1_010.0
        with pytest.raises(IssuerUnavailable):
            await tokens.verify(good)
        await tokens.close()

    run(work())


def test_the_end_of_a_long_outage(run: Run[Any], issuer: Issuer) -> None:
    """Once the old keys are too old, callers wait for new ones again, and the first that comes after the outage is let in."""

    async def work() -> None:
        clock = SetClock()
        tokens = verifier(issuer, clock=clock)
        good = issuer.token()
        await tokens.verify(good)
        issuer.status = 503
        clock.passed = 500.0
        await tokens.verify(good)
        issuer.status = 200
        clock.passed = 1_000.0
        assert await tokens.verify(good) == ANN
        await tokens.close()

    run(work())


def test_nobody_waits_for_an_issuer_that_is_known_to_be_down(run: Run[Any], issuer: Issuer) -> None:
    """After the first failure, known keys are used at once, while another fetch goes on behind; a good one heals."""

    async def work() -> None:
        clock = SetClock()
        tokens = verifier(issuer, clock=clock)
        good = issuer.token()
        await tokens.verify(good)
        issuer.status = 500
        clock.passed = 100.0
        await tokens.verify(good)
        issuer.hold = threading.Event()
        clock.passed = 110.0
        assert await tokens.verify(good) == ANN
        while issuer.asked[DISCOVERY] < 3:
            await asyncio.sleep(0)
        assert await tokens.verify(good) == ANN
        issuer.status = 200
        issuer.rotate("key-2")
        new = asyncio.create_task(tokens.verify(issuer.token(kid="key-2")))
        issuer.hold.set()
        assert await new == ANN
        with pytest.raises(TokenRefused, match="does not publish"):
            await tokens.verify(good)
        await tokens.close()

    run(work())


def test_a_slow_issuer(run: Run[Any], issuer: Issuer) -> None:
    """An issuer that does not answer in time is one that is down; nobody waits again before the next attempt is due."""
    issuer.hold = threading.Event()

    async def work() -> None:
        tokens = verifier(issuer, fetch_seconds=0.2)
        for _ in range(2):
            with pytest.raises(IssuerUnavailable):
                await tokens.verify(issuer.token())
        await tokens.close()

    run(work())
    assert issuer.asked == {DISCOVERY: 1}


def test_redirects_are_not_followed(run: Run[Any], issuer: Issuer) -> None:
    """Keys come from where they were said to be, or not at all."""
    issuer.status = 302
    with pytest.raises(IssuerUnavailable):
        verified(run, issuer.token(), issuer)


def test_an_end_in_the_middle(run: Run[Any], issuer: Issuer) -> None:
    """Closing gives up a fetch that is under way, and leaves nothing behind."""
    issuer.hold = threading.Event()

    async def work() -> None:
        tokens = verifier(issuer)
        caller = asyncio.create_task(tokens.verify(issuer.token()))
        while not issuer.asked[DISCOVERY]:
            await asyncio.sleep(0)
        await tokens.close()
        with pytest.raises(asyncio.CancelledError):
            await caller

    run(work())
