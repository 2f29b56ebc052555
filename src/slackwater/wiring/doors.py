"""The doors to the rest of the world that an operator may open: fetching files, posting webhooks, checking tokens."""

from slackwater.config import Config
from slackwater.core.accounts.claims import ClaimRules
from slackwater.core.accounts.resource import DEFAULT
from slackwater.core.outside.destinations import Destinations
from slackwater.core.outside.imports import Origins
from slackwater.ports import Clock, Fetcher, Sender, SignIn, TokenVerifier


def fetcher_of(config: Config) -> Fetcher | None:
    """Who fetches files from URLs; None where that is turned off."""
    imports = config.imports
    if not imports.enabled:
        return None
    # Only a service that imports pays for the library and the list of certificates.
    from slackwater.adapters.outside.httpcore_fetcher import HttpcoreFetcher

    return HttpcoreFetcher(
        Origins(
            hosts=tuple(imports.hosts),
            allow_http=imports.allow_http,
            allow_private_addresses=imports.allow_private_addresses,
        ),
        bytes_max=imports.bytes_max or config.limits.upload_bytes,
        connect_seconds=imports.connect_seconds,
        total_seconds=imports.timeout_seconds,
    )


def verifier_of(config: Config, clock: Clock) -> TokenVerifier | None:
    """Who checks tokens of a directory; None where no issuer is configured."""
    oidc = config.oidc
    if not oidc.issuers:
        return None
    # Only a service that takes tokens pays for the libraries.
    from slackwater.adapters.identity.jwt_verifier import JwtVerifier

    return JwtVerifier(
        oidc.issuers,
        audiences=oidc.audiences,
        algorithms=oidc.algorithms,
        rules=_rules(config),
        clock=clock,
        jwks_url=oidc.jwks_url or None,
        clock_skew_seconds=oidc.clock_skew_seconds,
        cache_seconds=oidc.jwks_cache_seconds,
        stale_seconds=oidc.jwks_stale_seconds,
    )


def sign_in_of(config: Config, clock: Clock) -> SignIn | None:
    """Who signs people in at an issuer; None where they sign in with keys only."""
    studio, oidc = config.studio, config.oidc
    if not (studio.enabled and studio.oidc_client_id):
        return None
    from slackwater.adapters.identity.oidc_sign_in import OidcSignIn

    return OidcSignIn(
        studio.oidc_issuer or oidc.issuers[0],
        client_id=studio.oidc_client_id,
        client_secret=config.studio_secret,
        scope=studio.oidc_scope,
        algorithms=tuple(oidc.algorithms),
        rules=_rules(config),
        clock=clock,
        clock_skew_seconds=oidc.clock_skew_seconds,
        jwks_url=oidc.jwks_url or None,
    )


def _rules(config: Config) -> ClaimRules:
    """How the claims of tokens become a resource and a role."""
    oidc = config.oidc
    return ClaimRules(
        resources=frozenset({DEFAULT, *(resource.name for resource in config.resources)}),
        resource_claim=oidc.resource_claim,
        role_claim=oidc.role_claim,
        resource_map=oidc.resource_map,
        role_map=oidc.role_map,
        default_resource=oidc.default_resource or None,
        default_role=oidc.default_role,
        tenants=tuple(oidc.tenants),
    )


def sender_of(config: Config) -> Sender | None:
    """Who posts webhooks; None where that is turned off."""
    webhooks = config.webhooks
    if not webhooks.enabled:
        return None
    from slackwater.adapters.outside.httpcore_sender import HttpcoreSender

    return HttpcoreSender(
        Destinations(allow_http=webhooks.allow_http, allow_private_addresses=webhooks.allow_private_addresses),
        total_seconds=webhooks.timeout_seconds,
    )
