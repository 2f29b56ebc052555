"""Every page of Studio, to be looked at in all themes and widths."""

from typing import Any

from tests.api.calls import Caller, chat
from tests.studio.files import faulty

# A path, with the names that `fill` gives; and what is visible when it has been drawn.
PAGES = {
    "jobs": ("", "a.job-link"),
    "jobs-nothing": ("?search=nothing-has-this", ".empty"),
    "create": ("/batches/new", ".drop"),
    "create-faults": ("/batches/new?file={faulty_file}", ".faults"),
    "create-checked": ("/batches/new?file={good_file}", ".notice.good"),
    "job-running": ("/batches/{running}", ".line-open"),
    "job-completed": ("/batches/{completed}", ".line-open"),
    "job-line": ("/batches/{completed}?line=task-0", "dialog .said"),
    "job-search": ("/batches/{completed}?find=WHY", "mark.found"),
    "job-compared": ("/batches/{completed}?with={broken}", ".pair-table"),
    "job-errors": ("/batches/{broken}", ".groups li"),
    "job-refused": ("/batches/{refused}", ".faults"),
    "files": ("/files", "tbody tr"),
    "files-nothing": ("/files?search=nothing-has-this", ".empty"),
    "file": ("/files?file={good_file}", "dialog .preview"),
    "deployments": ("/deployments", ".connections"),
    "engine-add": ("/deployments?engine=new", "dialog #engine-url"),
    "servers": ("/servers", "tbody tr"),
    "usage": ("/usage", ".legend li"),
    "usage-nothing": ("/usage?period=custom&start=2020-01-01&end=2020-01-31", ".quotas li"),
    "webhooks": ("/webhooks", "tbody tr"),
    "webhook": ("/webhooks/{webhook}", ".hook-state"),
    "webhook-add": ("/webhooks?add=yes", "dialog .events"),
    "keys": ("/keys", ".key-none"),
    "audit": ("/audit", "tbody tr"),
    "audit-entry": ("/audit?entry=1", "dialog .json"),
    "audit-nothing": ("/audit?who=nobody-has-this-name", ".empty"),
    "nowhere": ("/no/such/page", ".empty"),
}


def fill(call: Caller) -> dict[str, Any]:
    """A server with something on every page; the names that stand in the paths above."""
    completed = call.create(chat(3), metadata={"team": "tides"}).json["id"]
    broken = call.create(chat(3, model="broken-batch")).json["id"]
    refused = call.create(faulty()).json["id"]
    for batch_id in (completed, broken, refused):
        call.ended(batch_id)
    call("PUT", "/connections/gpu", {"url": "http://127.0.0.1:9/v1"})
    # After these ends: nothing is sent to it.
    hook = {"name": "Nightly", "url": "https://receiver.invalid/batches", "event_types": ["batch.completed"]}
    running = call.create(chat(400, model="slow-batch")).json["id"]
    return {
        "completed": completed,
        "broken": broken,
        "refused": refused,
        "running": running,
        "faulty_file": call.upload(faulty(), name="faulty.jsonl").json["id"],
        "webhook": call("POST", "/webhook_endpoints", hook).json["id"],
        "good_file": call.upload(chat(2), name="good.jsonl").json["id"],
    }
