"""Backends on loopback for the doctor: with a list of models, a key, a clock of their own, or TLS."""

import contextlib
import datetime
import email.utils
import ipaddress
import json
import ssl
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@contextlib.contextmanager
def engine(
    *,
    status: int = 200,
    model: str = "tiny",
    key: str | None = None,
    ahead: float = 0.0,
    tls: Path | None = None,
    other_models: int = 404,
    page: bytes | None = None,
) -> Iterator[str]:
    """The base URL of a server that lists one model. `tls`: a file with its key and certificate.

    `other_models`: the status of its answers to requests for another model. `page`: its metrics page, for who has the key.
    """

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if self.path != "/v1/models" and (self.path != "/metrics" or page is None):
                self.send_error(404)
                return
            refused = key is not None and self.headers["Authorization"] != f"Bearer {key}"
            body = b'{"object":"list","data":[{"id":"%s"}]}' % model.encode()
            body = page if self.path == "/metrics" and page is not None else body
            self.send_response(401 if refused else status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            assert (self.path, asked.get("max_tokens")) in (("/v1/chat/completions", 1), ("/v1/rerank", None))
            assert asked["model"] != model
            self.send_error(other_models)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return email.utils.formatdate(time.time() + ahead, usegmt=True)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{server.server_port}/v1"
    finally:
        server.shutdown()
        thread.join(10)
        server.server_close()


# What certificates are for: the address that engines have, and a name that only a proxy knows.
NAMES = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("engine.test")]


def certificate(path: Path, *, days: int) -> Path:
    """A self-signed certificate for 127.0.0.1 and engine.test that ends in so many days, with its key, in one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days, hours=1))
        .add_extension(x509.SubjectAlternativeName(NAMES), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + made.public_bytes(serialization.Encoding.PEM))
    return path
