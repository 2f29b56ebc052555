"""TLS before a PostgreSQL that was built without it: PostgreSQL's own beginning of it, and then the bytes of the session."""

import contextlib
import datetime
import ipaddress
import socket
import ssl
import struct
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

# What a client begins with that wants TLS, and one that wants Kerberos.
WANTS_TLS, WANTS_GSS = 80877103, 80877104


class TlsProxy:
    """Stands on a port before a server that listens on a socket in a folder."""

    def __init__(self, folder: Path, certificate: Path) -> None:
        """`certificate` is a file with the key in it."""
        self._server = str(next(folder.glob(".s.PGSQL.*[0-9]")))
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            while (asked := struct.unpack("!ii", client.recv(8, socket.MSG_WAITALL))[1]) == WANTS_GSS:
                client.sendall(b"N")
            assert asked == WANTS_TLS
            client.sendall(b"S")
            with (
                self._context.wrap_socket(client, server_side=True) as plain,
                socket.socket(socket.AF_UNIX) as server,
            ):
                server.connect(self._server)
                # One thread for both directions: an object of TLS is no two threads' at once.
                _pass_on(plain, server)

    def close(self) -> None:
        """Nobody gets in any more."""
        self._listener.close()


def _pass_on(plain: ssl.SSLSocket, server: socket.socket) -> None:
    import select

    while True:
        readable = [plain] if plain.pending() else select.select([plain, server], [], [])[0]
        for end, other in ((plain, server), (server, plain)):
            if end in readable:
                data = end.recv(65536)
                if not data:
                    return
                other.sendall(data)


class Authority:
    """One that signs certificates, in files of a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        own = self._builder(self._name, self._key.public_key(), days=2)
        own = own.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        self.root = folder / f"{name}.pem"
        """What a client names as `sslrootcert`."""
        self.root.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePublicKey, *, days: int) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=10))
            .not_valid_after(now + datetime.timedelta(days=days))
        )

    def certificate(self, host: str, *, days: int = 2) -> Path:
        """That of a host, with its key; it has expired where `days` are less than none."""
        key = ec.generate_private_key(ec.SECP256R1())
        names: list[x509.GeneralName] = [x509.DNSName(host)]
        with contextlib.suppress(ValueError):
            names = [x509.IPAddress(ipaddress.ip_address(host))]
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)]), key.public_key(), days=days)
        signed = builder.add_extension(x509.SubjectAlternativeName(names), critical=False).sign(
            self._key, hashes.SHA256()
        )
        file = self._folder / f"{host}{days}.pem"
        file.write_bytes(
            signed.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return file
