"""What can be asked of a server, call by call. Objects are the server's JSON as it came: every dialect has its own keys."""

import uuid
from collections.abc import Collection, Iterator, Mapping
from typing import Any
from urllib.parse import quote

from slackwater.client.connection import Connection
from slackwater.core.errors import CallFailed
from slackwater.core.sending.engine_names import engine_id, engine_of

Object = dict[str, Any]
BATCH_PAGE = 100
OVERVIEW_PAGES = 10
ENDED = frozenset({"completed", "failed", "expired", "cancelled"})


class Api:
    """The calls of one server. Every method raises CallFailed."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    @property
    def ours(self) -> bool:
        """Whether the server has the extensions."""
        return self.connection.target.dialect.ours

    def create_batch(
        self, *, input_file_id: str, endpoint: str, window: str, metadata: Mapping[str, str] | None
    ) -> Object:
        """Creates a batch. Where it is safe, a lost answer is asked for again: the key makes one batch of all attempts."""
        body: Object = {"input_file_id": input_file_id, "endpoint": endpoint, "completion_window": window}
        if metadata:
            body["metadata"] = dict(metadata)
        return self._once("/batches", body)

    def create_batch_of_blob(self, *, blob: str, folder: str, endpoint: str, window: str) -> Object:
        """The same of a blob in a storage of the user's, into a folder there; a call of Azure's."""
        body: Object = {"input_file_id": None, "endpoint": endpoint, "completion_window": window}
        return self._once("/batches", body | {"input_blob": blob, "output_folder": {"url": folder}})

    def retry_batch(self, batch_id: str) -> Object:
        """Makes a new batch of the lines that failed or never ran; an extension of ours."""
        try:
            return self._once(f"/batches/{quote(batch_id, safe='')}/retry", {})
        except CallFailed as failed:
            if failed.status in (404, 405) and not self.ours:
                raise CallFailed(
                    f"{failed.message}; only Slackwater can retry a batch: elsewhere, submit the failed lines as a new file",
                    status=failed.status,
                ) from failed
            raise

    def batch(self, batch_id: str) -> Object:
        """A batch as it is now."""
        return self._object("GET", f"/batches/{quote(batch_id, safe='')}")

    def cancel_batch(self, batch_id: str) -> Object:
        """Asks for the end of a batch; what has finished is kept. Twice is as good as once."""
        return self._object("POST", f"/batches/{quote(batch_id, safe='')}/cancel", repeatable=True)

    def batches(self, *, page: int = BATCH_PAGE) -> Iterator[Object]:
        """Every batch, newest first, fetched page by page as they are taken."""
        return self._pages("/batches", {"limit": str(page)})

    def files(self, *, purpose: str | None = None) -> Iterator[Object]:
        """Every file, newest first."""
        return self._pages("/files", {} if purpose is None else {"purpose": purpose})

    def file(self, file_id: str) -> Object:
        """A file."""
        return self._object("GET", f"/files/{quote(file_id, safe='')}")

    def delete_file(self, file_id: str) -> Object:
        """Deletes a file."""
        return self._object("DELETE", f"/files/{quote(file_id, safe='')}")

    def deployments(self) -> list[Object]:
        """What `model` may be: with quotas and backends where the server is ours and the key is an administrator's."""
        if self.ours:
            try:
                return _list(self._object("GET", "/deployments").get("value"))
            except CallFailed as failed:
                if failed.status not in (403, 404):
                    raise
        return _list(self._object("GET", "/models").get("data"))

    def deployment(self, name: str) -> Object:
        """One of them."""
        path = quote(name, safe="")
        if self.ours:
            try:
                return self._object("GET", f"/deployments/{path}")
            except CallFailed as failed:
                if failed.status != 403:
                    raise
        return self._object("GET", f"/models/{path}")

    def deployment_states(self) -> list[Object]:
        """How deployments and their backends are now; an extension of ours."""
        return _list(self._object("GET", "/deployment_status").get("data"))

    def overview_rows(self, batch_ids: Collection[str], *, statuses: Collection[str]) -> dict[str, Object]:
        """Those of these batches that have one of the statuses (any, where there are none), in short, by their ids; an extension
        of ours.

        Newest ones first, and not beyond OVERVIEW_PAGES more than they would fill.
        """
        left, found, after = set(batch_ids), dict[str, Object](), dict[str, str]()
        for _ in range(OVERVIEW_PAGES + len(batch_ids) // BATCH_PAGE):
            if not left:
                break
            query = {"status": ",".join(sorted(statuses)), "limit": str(BATCH_PAGE), **after}
            page = self._object("GET", "/batch_overview", query=query)
            rows = _list(page.get("data"))
            for row in rows:
                left.discard(str(row.get("id")))
                if row.get("id") in batch_ids:
                    found[str(row["id"])] = row
            if not rows or not page.get("has_more"):
                break
            after = {"after": str(rows[-1].get("id"))}
        return found

    def progress(self, batch_id: str) -> Object:
        """How a batch gets on, and what it waits for; an extension of ours."""
        return self._object("GET", f"/batches/{quote(batch_id, safe='')}/progress")

    def engines(self) -> list[Object]:
        """The engines of a service; an extension of ours, for whoever runs it."""
        return _list(self._object("GET", "/engines").get("data"))

    def engine(self, engine: str) -> Object:
        """One of them, by its id or its URL."""
        return self._object("GET", f"/engines/{_engine(engine)}")

    def members(self) -> Object:
        """Who works with the ledger of a service, and what is wrong with them together; an extension of ours."""
        return self._object("GET", "/members")

    def operate(self, verb: str, kind: str, name: str, *, reason: str | None = None) -> Object | None:
        """`pause`, `resume` or `try` one of `engines`, `deployments`, `batches`; None where nothing is left to say of it.

        Twice is as good as once.
        """
        what = _engine(name) if kind == "engines" else quote(name, safe="")
        body = {"reason": reason} if verb == "pause" and reason else None
        found = self.connection.call("POST", f"/{kind}/{what}/{verb}", body=body, repeatable=True)
        return found if isinstance(found, dict) else None

    def pace(self, engine: str, pace: str) -> Object:
        """How much of an engine batches may take beside others."""
        return self._object("POST", f"/engines/{_engine(engine)}/pace", body={"pace": pace})

    def usage(self, query: Mapping[str, str]) -> Object:
        """What was completed and what it cost; an extension of ours."""
        return self._object("GET", "/usage", query=query)

    def keys(self) -> list[Object]:
        """The keys of the resource, without their values; an extension of ours, for administrators."""
        return _list(self._object("GET", "/keys").get("data"))

    def create_keys(self, role: str) -> list[Object]:
        """Makes both keys of a role. Not repeated: the answer that was lost may have had the ones that count."""
        return _list(self._object("POST", "/keys", body={"role": role}).get("data"))

    def rotate_key(self, role: str, key: str) -> list[Object]:
        """Makes one key of a role anew; the answer has both, and the value of the new one."""
        return _list(self._object("POST", f"/keys/{quote(role, safe='')}/rotate", body={"key": key}).get("data"))

    def delete_keys(self, role: str) -> Object:
        """Takes both keys of a role away."""
        return self._object("DELETE", f"/keys/{quote(role, safe='')}")

    def _once(self, path: str, body: Object) -> Object:
        """A POST that must not happen twice. The key is ignored by those who do not know it, and then it is not repeated."""
        headers = {"Idempotency-Key": f"slackwater-{uuid.uuid4().hex}"}
        return self._object("POST", path, body=body, headers=headers, repeatable=self.ours)

    def _object(self, method: str, path: str, **more: Any) -> Object:
        found = self.connection.call(method, path, **more)
        if not isinstance(found, dict):
            raise CallFailed(
                f"{self.connection.target.url} did not answer as a batch API does; is it the right address?"
            )
        return found

    def _pages(self, path: str, query: Mapping[str, str]) -> Iterator[Object]:
        after: dict[str, str] = {}
        while True:
            page = self._object("GET", path, query={**query, **after})
            items = _list(page.get("data"))
            yield from items
            # Azure's dated lists of files are whole and do not say so (spec 2.3).
            if not items or not page.get("has_more"):
                return
            after = {"after": str(items[-1].get("id"))}


def _engine(given: str) -> str:
    """An engine in a path: its id as it is, or that of the engine behind a URL. Raises CallFailed."""
    if "://" in given:
        try:
            given = engine_id(engine_of(given))
        except ValueError as error:
            raise CallFailed(f"'{given}' is not the address of an engine: {error}") from error
    return quote(given, safe=":")


def _list(found: object) -> list[Object]:
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []
