"""Object stores for tests, from packages: moto for S3, and Azurite for Azure. Neither checks more than its cloud does."""

import base64
import contextlib
import hashlib
import hmac
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

from slackwater.adapters.object_store.place import CloudPlace
from slackwater.core.files.object_address import ObjectAddress

# Where `make test-stores` has put Azurite.
AZURITE = Path(
    os.environ.get("SLACKWATER_AZURITE", Path.home() / ".cache/slackwater-tests/azurite/node_modules/azurite")
)
# Of every Azurite there is.
ACCOUNT = "devstoreaccount1"
ACCOUNT_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
S3_KEY = "tests:not-a-secret"


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Server:
    """One of the two, while it runs. It can be stopped and started again, on the same port and with the same bytes."""

    kind = ""
    secret = ""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def command(self) -> list[str]:
        """What starts it."""
        raise NotImplementedError

    def make(self, container: str) -> None:
        """Makes a bucket."""
        raise NotImplementedError

    def address(self, container: str) -> str:
        """What a configuration has for a place of its own in it."""
        raise NotImplementedError

    def place(self, container: str, *, port: int = 0, secret: str = "", retried_seconds: float = 30.0) -> CloudPlace:
        """The same, to be opened; by way of another `port`, or with another `secret`."""
        account = ACCOUNT if self.kind == "az" else ""
        where = ObjectAddress(self.kind, account, container, secrets.token_hex(6))  # type: ignore[arg-type]
        endpoint = self.endpoint.replace(str(self.port), str(port or self.port))
        return CloudPlace(where, endpoint=endpoint, secret=secret or self.secret, retried_seconds=retried_seconds)

    def start(self) -> None:
        """Returns once it answers."""
        with open(self.folder / f"{self.kind}.log", "ab") as log:
            self.process = subprocess.Popen(self.command(), stdout=log, stderr=log, start_new_session=True)
        until = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/", timeout=5).close()
                return
            except urllib.error.HTTPError:
                return
            except OSError:
                assert self.process.poll() is None, (self.folder / f"{self.kind}.log").read_text()
                assert time.monotonic() < until
                time.sleep(0.05)

    def stop(self) -> None:
        """Ends it at once."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Moto(Server):
    """S3."""

    kind = "s3"
    secret = S3_KEY

    def command(self) -> list[str]:
        return [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(self.port)]

    def make(self, container: str) -> None:
        urllib.request.urlopen(urllib.request.Request(f"{self.endpoint}/{container}", method="PUT")).close()

    def address(self, container: str) -> str:
        return f"s3://{container}/{secrets.token_hex(6)}"


class Azurite(Server):
    """Azure."""

    kind = "az"
    secret = ACCOUNT_KEY

    @property
    def endpoint(self) -> str:
        return f"{super().endpoint}/{ACCOUNT}"

    def command(self) -> list[str]:
        node = shutil.which("node")
        assert node is not None, "Azurite needs Node.js"
        main = AZURITE / "dist/src/blob/main.js"
        assert main.exists(), "run this with make test-stores, which installs Azurite"
        return [
            node,
            str(main),
            *("--blobHost", "127.0.0.1", "--blobPort", str(self.port), "--location", str(self.folder / "azurite")),
            *("--skipApiVersionCheck", "--silent", "--disableTelemetry"),
        ]

    def make(self, container: str) -> None:
        date = formatdate(usegmt=True)
        path = f"/{ACCOUNT}/{ACCOUNT}/{container}"
        signed = f"PUT{chr(10) * 12}x-ms-date:{date}\nx-ms-version:2021-08-06\n{path}\nrestype:container"
        signature = hmac.new(base64.b64decode(ACCOUNT_KEY), signed.encode(), hashlib.sha256).digest()
        request = urllib.request.Request(
            f"{self.endpoint}/{container}?restype=container",
            method="PUT",
            headers={
                "x-ms-date": date,
                "x-ms-version": "2021-08-06",
                "Authorization": f"SharedKey {ACCOUNT}:{base64.b64encode(signature).decode()}",
                "Content-Length": "0",
            },
        )
        urllib.request.urlopen(request).close()

    def address(self, container: str) -> str:
        return f"az://{ACCOUNT}/{container}/{secrets.token_hex(6)}"


@contextlib.contextmanager
def running(kind: type[Server], folder: Path) -> Iterator[Server]:
    """A server with a bucket `box`."""
    server = kind(folder)
    server.start()
    try:
        server.make("box")
        yield server
    finally:
        server.stop()
