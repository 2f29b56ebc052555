"""What tests of tokens share: a verifier of running issuers, and a clock that only goes when it is told to."""

from typing import Any

from slackwater.adapters.identity.jwt_verifier import JwtVerifier
from slackwater.adapters.system_clock import SystemClock
from slackwater.core.accounts.claims import ClaimRules
from slackwater.core.accounts.resource import Principal, Role
from tests.adapters.conftest import Run
from tests.issuer import AUDIENCE, Issuer

ANN = Principal(resource="default", role=Role.USER, name="token/subject-1")


class SetClock(SystemClock):
    """Real moments; durations only pass when a test says so."""

    def __init__(self) -> None:
        self.passed = 0.0

    def monotonic(self) -> float:
        return self.passed


def verifier(*issuers: Issuer, clock: SetClock | None = None, **changes: Any) -> JwtVerifier:
    """One that trusts these issuers. Keys are fresh for 100 seconds, used for 1,000, and asked for every 10 at most."""
    options: dict[str, Any] = {
        "audiences": [AUDIENCE, f"{AUDIENCE}/"],
        "algorithms": ["RS256", "ES256"],
        "rules": ClaimRules(),
        "cache_seconds": 100.0,
        "stale_seconds": 1_000.0,
        "refetch_seconds": 10.0,
        "fetch_seconds": 5.0,
    }
    return JwtVerifier([issuer.url for issuer in issuers], clock=clock or SetClock(), **options | changes)


def verified(run: Run[Any], token: str, *issuers: Issuer, **changes: Any) -> Principal:
    """Whom a fresh verifier finds in a token."""

    async def work() -> Principal:
        tokens = verifier(*issuers, **changes)
        try:
            return await tokens.verify(token)
        finally:
            await tokens.close()

    principal: Principal = run(work())
    return principal
