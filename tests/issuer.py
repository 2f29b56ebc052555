"""A real issuer of tokens on loopback, with keys of its own: discovery document, JWKS, rotation, people who sign in with a code,
and everything going wrong."""

import base64
import hashlib
import html
import json
import secrets
import threading
import time
import urllib.parse
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

AUDIENCE = "https://cognitiveservices.azure.com"
DISCOVERY = "/.well-known/openid-configuration"
JWKS = "/keys"
AUTHORIZE = "/authorize"
TOKEN = "/token"

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
# Made once for all tests: a key takes a tenth of a second.
RSA_KEYS = [rsa.generate_private_key(65537, 2048) for _ in range(2)]
EC_KEY = ec.generate_private_key(ec.SECP256R1())
SHOWN: dict[type, Callable[..., dict[str, Any]]] = {
    rsa.RSAPrivateKey: jwt.algorithms.RSAAlgorithm.to_jwk,
    ec.EllipticCurvePrivateKey: jwt.algorithms.ECAlgorithm.to_jwk,
    ed25519.Ed25519PrivateKey: jwt.algorithms.OKPAlgorithm.to_jwk,
}


def public_jwk(key: PrivateKey, kid: str, **members: Any) -> dict[str, Any]:
    """A key as an issuer publishes it."""
    to_jwk = next(to_jwk for kind, to_jwk in SHOWN.items() if isinstance(key, kind))
    shown = to_jwk(key.public_key(), as_dict=True)
    return {name: value for name, value in shown.items() if name != "key_ops"} | {"kid": kid} | members


def part(value: Any) -> str:
    """A part of a token made by hand."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    """One issuer; a context in which it runs. It begins with one RSA key, `key-1`.

    `answers` has the bodies of paths, to be changed at will. Before an answer, `hold` is waited for, if a test has set one.
    """

    def __init__(self, tenant: str = "") -> None:
        self.keys: dict[str, PrivateKey] = {"key-1": RSA_KEYS[0]}
        self.published: list[dict[str, Any]] = [public_jwk(RSA_KEYS[0], "key-1", use="sig")]
        self.answers: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.status = 200
        self.hold: threading.Event | None = None
        # Codes that were given to people, with what they were given for; and the forms that codes were redeemed with.
        self.codes: dict[str, tuple[dict[str, str], dict[str, Any]]] = {}
        self.redeemed: list[dict[str, str]] = []
        self.credentials: list[str | None] = []
        self.auth_methods: list[str] | None = None
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                issuer.asked[self.path] += 1
                if issuer.hold is not None:
                    issuer.hold.wait(30)
                issuer._answer(self)

            def do_POST(self) -> None:
                issuer.asked[self.path] += 1
                form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                issuer._redeem(self, dict(urllib.parse.parse_qsl(form)))

            def log_message(self, format: str, *args: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self.port = self._server.server_port
        self.tenant = tenant
        self.url = f"http://127.0.0.1:{self.port}{tenant}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.hold is not None:
            self.hold.set()
        self.stop()

    def stop(self) -> None:
        """Nobody listens any more."""
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        base = f"http://127.0.0.1:{self.port}"
        document: dict[str, Any] = {
            "issuer": self.url,
            "jwks_uri": base + JWKS,
            "authorization_endpoint": base + AUTHORIZE,
            "token_endpoint": base + TOKEN,
        }
        if self.auth_methods is not None:
            document["token_endpoint_auth_methods_supported"] = self.auth_methods
        usual = {
            self.tenant.rstrip("/") + DISCOVERY: json.dumps(document).encode(),
            JWKS: json.dumps({"keys": self.published}).encode(),
        }
        body = (usual | self.answers).get(handler.path)
        asks = handler.path.startswith(f"{AUTHORIZE}?")
        if asks:
            body = self._page(base + handler.path)
        handler.send_response(404 if body is None else self.status)
        handler.send_header("Content-Type", "text/html" if asks else "application/json")
        handler.send_header("Content-Length", str(len(body or b"")))
        handler.end_headers()
        try:
            handler.wfile.write(body or b"")
        except ConnectionError:
            # Whoever asked has had enough.
            pass

    def _page(self, address: str) -> bytes:
        """What somebody with a browser sees who is sent here to sign in; one click signs in."""
        asked = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(address).query))
        back = f"{asked['redirect_uri']}?{urllib.parse.urlencode(self.consent(address))}"
        icon = '<link rel="icon" href="data:,">'
        return (
            f'<!doctype html>{icon}<title>Issuer</title><a href="{html.escape(back)}">Sign in as subject-1</a>'.encode()
        )

    def consent(self, address: str, **changes: Any) -> dict[str, str]:
        """Somebody signs in at the page that their browser was sent to: the query that it is sent back with."""
        parts = urllib.parse.urlsplit(address)
        assert f"{parts.scheme}://{parts.netloc}{parts.path}" == f"http://127.0.0.1:{self.port}{AUTHORIZE}"
        asked = dict(urllib.parse.parse_qsl(parts.query))
        code = secrets.token_urlsafe(16)
        self.codes[code] = asked, changes
        return {"code": code, "state": asked["state"]}

    def _redeem(self, handler: BaseHTTPRequestHandler, form: dict[str, str]) -> None:
        """A token for a code: once, and only for whoever has the verifier."""
        self.redeemed.append(form)
        self.credentials.append(handler.headers["Authorization"])
        asked, changes = self.codes.pop(form.get("code", ""), ({}, {}))
        challenge = part(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        good = challenge == asked.get("code_challenge") and form.get("redirect_uri") == asked.get("redirect_uri")
        answer: dict[str, str] = {"error": "invalid_grant"}
        if good:
            answer = {"id_token": self.token(**({"aud": asked["client_id"], "nonce": asked["nonce"]} | changes))}
        body = json.dumps(answer).encode()
        handler.send_response(self.status if good else 400)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def rotate(self, kid: str, key: PrivateKey = RSA_KEYS[1]) -> None:
        """From now on there is this key and no other."""
        self.keys[kid] = key
        self.published = [public_jwk(key, kid, use="sig")]

    def claims(self, **changes: Any) -> dict[str, Any]:
        """Claims of a good token. What is changed to None is left out."""
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": AUDIENCE,
            "sub": "subject-1",
            "iat": now,
            "nbf": now,
            "exp": now + 600,
            "roles": ["user"],
            "slackwater_resource": "default",
        }
        return {name: value for name, value in (claims | changes).items() if value is not None}

    def token(
        self, *, kid: str | None = "key-1", alg: str = "RS256", key: Any = None, headers: Any = None, **changes: Any
    ) -> str:
        """A token, good unless something is changed."""
        named = {} if kid is None else {"kid": kid}
        signing = self.keys[kid or "key-1"] if key is None else key
        return jwt.encode(self.claims(**changes), signing, algorithm=alg, headers=named | (headers or {}))
