"""nginx with the block of docs/cluster.md, before servers of a test. It runs as whoever runs the test, on ports that are free."""

import contextlib
import http.client
import re
import ssl
import subprocess
from collections.abc import Mapping
from pathlib import Path

from tests.cluster.cluster import until
from tests.deploy.haproxy import free_port

PAGE = Path(__file__).parents[2] / "docs" / "cluster.md"
# What the package of a distribution has around it.
AROUND = """
daemon off;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    {block}
}}
"""


def block() -> str:
    """As the page has it."""
    (found,) = re.findall(r"```nginx\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(found)


class Nginx:
    """`servers` are the addresses (host:port) of those that the page names."""

    def __init__(self, folder: Path, servers: Mapping[str, str]) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self._folder, self._file = folder, folder / "nginx.conf"
        certificate, key = folder / "batch.example.pem", folder / "batch.example.key"
        made = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=batch.example -addext subjectAltName=IP:127.0.0.1"
        subprocess.run(["openssl", *made.split(), "-out", certificate, "-keyout", key], check=True, capture_output=True)
        self._text = block()
        named = re.findall(r"^    server (\S+) max_fails", self._text, re.MULTILINE)
        assert named == [f"{name}:8080" for name in servers]
        for name, address in servers.items():
            self._text = self._text.replace(f"{name}:8080", address)
        self._text = self._text.replace("listen 443 ssl", f"listen {self.address} ssl")
        self._text = self._text.replace("/etc/nginx/certs", str(folder))
        self._write(self._text)
        self._context = ssl.create_default_context(cafile=str(certificate))
        self._process = subprocess.Popen(self._command())

    def _command(self, *more: str) -> list[str]:
        return ["nginx", "-e", str(self._folder / "nginx.log"), "-p", str(self._folder), "-c", str(self._file), *more]

    def _write(self, text: str) -> None:
        self._file.write_text(AROUND.format(folder=self._folder, block=text))

    def __enter__(self) -> "Nginx":
        def is_there() -> bool:
            with contextlib.suppress(OSError):
                self.connection().connect()
                return True
            return False

        until(is_there)
        return self

    def __exit__(self, *_: object) -> None:
        # Its master ends its own processes.
        self._process.terminate()
        self._process.wait(20)

    def connection(self) -> http.client.HTTPSConnection:
        """One to it, by TLS."""
        return http.client.HTTPSConnection(self.address, timeout=60, context=self._context)

    def take_out(self, address: str | None) -> None:
        """Writes `down` behind a server, and reloads it as the page says; None: all are in again."""
        text = self._text if address is None else self._text.replace(f"server {address} ", f"server {address} down ")
        self._write(text)
        subprocess.run(self._command("-s", "reload"), check=True)

    def workers(self) -> set[str]:
        """Its processes that answer, also those of before a reload."""
        listed = subprocess.run(["pgrep", "-P", str(self._process.pid)], capture_output=True, text=True)
        return set(listed.stdout.split())
