"""Whose certificates a client takes, and what to say of one that it does not."""

import os
import ssl

import httpx2

from slackwater.core.errors import CallFailed

VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")
# OpenSSL's numbers (X509_V_ERR_*) of what no other list of authorities mends.
NOT_YET, EXPIRED, OTHER_HOST, OTHER_ADDRESS = 9, 10, 62, 64


def trusted() -> ssl.SSLContext:
    """The authorities that SSL_CERT_FILE or else SSL_CERT_DIR names, or the system's. Raises CallFailed.

    For every address: those variables are about trust, and not about the way to the world outside.
    """
    try:
        return httpx2.create_ssl_context()
    except OSError as error:
        name = next((each for each in VARIABLES if os.environ.get(each)), "the system's list of authorities")
        why = "there is no certificate (PEM) in it" if isinstance(error, ssl.SSLError) else error.strerror or str(error)
        raise CallFailed(f"{name} {os.environ.get(name, '')} cannot be used: {why}; correct it, or unset it") from error


def why_distrusted(url: str, error: BaseException) -> str | None:
    """What to say where an error comes from a certificate, or from somebody who does not speak TLS; None where it does not."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, ssl.SSLError):
        found = found.__cause__ or found.__context__
    if isinstance(found, ssl.SSLCertVerificationError):
        return (
            f"{url} is there, and its certificate is not trusted ({found.verify_message}): {_remedy(found.verify_code)}"
        )
    if isinstance(found, ssl.SSLError) and found.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE"):
        return f"{url} is there, and does not speak TLS: is it http://?"
    return None


def _remedy(code: int) -> str:
    if code in (OTHER_HOST, OTHER_ADDRESS):
        return "name the server as its certificate does"
    if code in (NOT_YET, EXPIRED):
        return "have it renewed, or correct the clock of this machine"
    return "where its authority is one of your own, set SSL_CERT_FILE=FILE, with the certificate of that authority (PEM) in it"
