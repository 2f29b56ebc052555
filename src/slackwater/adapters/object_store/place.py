"""Which object store, and how it is reached: what another process is told, too."""

import os
import stat
import urllib.parse
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from obstore.store import AzureStore, GCSStore, LocalStore, S3Store

from slackwater.core.files.object_address import ObjectAddress

if TYPE_CHECKING:
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

# A request that fails for a reason that may pass is sent again for so long: what is gone for twenty seconds is not noticed.
RETRIED_SECONDS = 30.0
RETRIES_MAX = 20
# Nothing comes or goes for so long: the connection is dead. A part of 8 MiB has to fit into it.
SILENT_SECONDS = 60
# A body that a slow reader takes piece by piece may take longer than any other request.
WHOLE_SECONDS = 6 * 3600
# A proxy that is nowhere. The library follows redirects and cannot be told not to; what is not for a proxy goes to its host, and
# all else comes to nothing there.
NOWHERE = "127.0.0.1:0"
# What the secret of each cloud looks like.
KEY_FORMS = {
    "s3": "KEY_ID:SECRET",
    "az": "an account key or a SAS token of Azure",
    "gs": "the JSON of a service account of Google",
}


def _has_proxy() -> bool:
    names = {name.lower() for name, value in os.environ.items() if value}
    return not names.isdisjoint({"http_proxy", "https_proxy", "all_proxy", "proxy_url"})


class Place(Protocol):
    """Opens a store. It can be pickled."""

    @property
    def shown(self) -> str:
        """How people know it. No secret is in it."""
        ...

    @property
    def retried_seconds(self) -> float:
        """For how long a request is made again that fails for a reason that may pass."""
        ...

    def open(self) -> "ObjectStore":
        """A store whose paths are keys."""
        ...


class CloudPlace:
    """A place in one of the clouds, or in what speaks as one of them."""

    def __init__(
        self,
        address: ObjectAddress,
        *,
        endpoint: str = "",
        region: str = "",
        secret: str = "",
        retried_seconds: float = RETRIED_SECONDS,
        silent_seconds: float = SILENT_SECONDS,
        stays: bool = False,
    ) -> None:
        """`secret`: an account key or a SAS token (Azure), `KEY_ID:SECRET` (S3), or the JSON of a service account (Google).

        Without one, the usual variables of the environment count, or who the machine is. `stays`: where it has an endpoint and
        a secret, a redirect to another host is not followed. Without a secret others may have to be asked for one, and where the
        environment names a proxy, that decides which hosts there are.
        """
        self._address = address
        self._endpoint = endpoint
        self._region = region
        self._secret = secret
        self.retried_seconds = retried_seconds
        self._silent_seconds = silent_seconds
        self._stays = stays and bool(endpoint and secret)

    def __repr__(self) -> str:
        return f"CloudPlace({self.shown})"

    @property
    def shown(self) -> str:
        """The address."""
        return str(self._address)

    def why_closed(self, error: Exception) -> str:
        """Why `open` has raised that, in words that have no secret."""
        del error
        if self._secret:
            return f"{self.shown}: the key is not {KEY_FORMS[self._address.kind]}"
        return f"{self.shown}: its endpoint, or what the environment says of it, is not what this kind of store takes"

    def open(self) -> "ObjectStore":
        """A store whose paths are keys. Asks nobody. Raises ValueError for a secret of another form."""
        address = self._address
        client: ClientConfig = {
            "connect_timeout": timedelta(seconds=5),
            "read_timeout": timedelta(seconds=self._silent_seconds),
            "timeout": timedelta(seconds=WHOLE_SECONDS),
            "allow_http": self._endpoint.startswith("http://"),
        }
        if self._stays and not _has_proxy():
            client |= {
                "proxy_url": f"http://{NOWHERE}",
                "proxy_excludes": urllib.parse.urlsplit(self._endpoint).hostname or "",
            }
        retry: RetryConfig = {
            "max_retries": RETRIES_MAX,
            "retry_timeout": timedelta(seconds=self.retried_seconds),
            "backoff": {
                "init_backoff": timedelta(milliseconds=100),
                "max_backoff": timedelta(seconds=3),
                "base": 2,
            },
        }
        usual: dict[str, Any] = {"prefix": address.prefix or None, "client_options": client, "retry_config": retry}
        if address.kind == "az":
            return AzureStore(address.container, account_name=address.account, **self._azure(), **usual)
        if address.kind == "gs":
            secret: dict[str, Any] = {"service_account_key": self._secret} if self._secret else {}
            return GCSStore(address.container, **secret, **usual)
        return S3Store(address.container, **self._s3(), **usual)

    def _s3(self) -> dict[str, Any]:
        options = {"endpoint": self._endpoint} if self._endpoint else {}
        if self._region:
            options["region"] = self._region
        if self._secret:
            name, colon, secret = self._secret.partition(":")
            if not (name and colon and secret):
                raise ValueError("the secret of s3:// is KEY_ID:SECRET")
            options |= {"access_key_id": name, "secret_access_key": secret}
        return options

    def _azure(self) -> dict[str, Any]:
        # Whoever writes the endpoint of Azurite writes its account, too.
        options = {"endpoint": self._endpoint} if self._endpoint else {}
        if "sig=" in self._secret:
            options["sas_key"] = self._secret.removeprefix("?")
        elif self._secret:
            options["account_key"] = self._secret
        return options


class FolderPlace:
    """A folder of this machine that is used like a store."""

    retried_seconds = 0.0

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    @property
    def shown(self) -> str:
        """Its URL."""
        return f"file://{self._folder}"

    def holds(self, key: str) -> bool:
        """Whether no link leads a key out of the folder, or in a circle."""
        try:
            return Path(self._folder, key).resolve().is_relative_to(self._folder.resolve())
        except RuntimeError:
            # How Python says that of a circle.
            return False

    def why_closed(self, error: Exception) -> str:
        """Why `open` has raised that."""
        if isinstance(error, NotADirectoryError):
            return f"{self.shown} is no folder"
        if isinstance(error, PermissionError):
            return f"{self.shown}: this user may not look into the folders above it"
        return f"{self.shown}: there is no such folder"

    def open(self) -> "ObjectStore":
        """A store whose paths are keys. Raises an OSError where there is no such folder."""
        if not stat.S_ISDIR(self._folder.stat().st_mode):
            raise NotADirectoryError
        return LocalStore(self._folder)
