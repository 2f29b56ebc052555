"""What callers with tokens are told, in the words and shapes of their family (spec 7.2, 7.3)."""

import json

import pytest

from slackwater.api import wire
from slackwater.api.dialects import DIALECTS, Dialect
from slackwater.core.errors import IssuerUnavailable, LedgerUnavailable, PermissionDenied, SlackwaterError, TokenRefused


@pytest.mark.parametrize(
    ("error", "status", "azure", "openai"),
    [
        (TokenRefused("The token has expired. Get a new one."), 401, "401", "invalid_api_key"),
        (PermissionDenied("The token gives no role."), 403, "PermissionDenied", "PermissionDenied"),
        (IssuerUnavailable("Try again later."), 503, "serviceUnavailable", "service_unavailable"),
    ],
)
@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.prefix)
def test_errors_of_tokens(dialect: Dialect, error: SlackwaterError, status: int, azure: str, openai: str) -> None:
    """A refused token is told why in every family, OpenAI's too, where a wrong key has words of its own."""
    response = wire.error_response(dialect, error)
    body = json.loads(bytes(response.body))["error"]
    code = openai if dialect.prefix == "/v1" else azure
    assert (response.status_code, body["message"], body["code"]) == (status, str(error), code)


@pytest.mark.parametrize("dialect", DIALECTS, ids=lambda dialect: dialect.prefix)
def test_a_ledger_that_cannot_be_asked(dialect: Dialect) -> None:
    """It says when to ask again, and nothing of where the ledger is."""
    response = wire.error_response(dialect, LedgerUnavailable("the ledger cannot be reached: db.internal"))
    assert (response.status_code, response.headers["retry-after"]) == (503, "5")
    assert b"db.internal" not in bytes(response.body)
