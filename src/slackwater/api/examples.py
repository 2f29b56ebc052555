"""One example of each object that people read about first, for the API document."""

from typing import Any

FILE: dict[str, Any] = {
    "object": "file",
    "id": "file-9f3a81d899b4442f98b640e4bc3535dd",
    "purpose": "batch",
    "filename": "questions.jsonl",
    "bytes": 815,
    "created_at": 1_722_476_551,
    "status": "processed",
}
BATCH: dict[str, Any] = {
    "id": "batch_6caaf24d-54a5-46be-b1b7-518884fcbdde",
    "object": "batch",
    "endpoint": "/chat/completions",
    "model": "gpt-4o-mini-2024-07-18",
    "errors": None,
    "input_file_id": FILE["id"],
    "completion_window": "24h",
    "status": "completed",
    "output_file_id": "file-2e983ef2-a839-4554-9b95-4353476bbaef",
    "error_file_id": "file-3b0f9beb-11ce-4796-bc31-d54e675f28fb",
    "created_at": 1_722_476_583,
    "in_progress_at": 1_722_476_584,
    "expires_at": 1_722_562_983,
    "finalizing_at": 1_722_477_429,
    "completed_at": 1_722_477_430,
    "failed_at": None,
    "expired_at": None,
    "cancelling_at": None,
    "cancelled_at": None,
    "request_counts": {"total": 3, "completed": 3, "failed": 0},
    "usage": {
        "input_tokens": 54,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 210,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 264,
    },
    "metadata": {"team": "tides"},
}
UPLOAD: dict[str, Any] = {
    "id": "upload_4d0f3a1b7c8e4a70b2f2d3a9c1e5b6f7",
    "object": "upload",
    "bytes": 815,
    "created_at": 1_722_476_500,
    "filename": "questions.jsonl",
    "purpose": "batch",
    "status": "completed",
    "expires_at": 1_722_480_100,
    "file": FILE,
}

WEBHOOK_ENDPOINT: dict[str, Any] = {
    "id": "whe_0a4de8f6f7d14b6f9a0ce5a3a3a8c1d2",
    "object": "webhook_endpoint",
    "name": "nightly",
    "url": "https://receiver.example/batches",
    "event_types": ["batch.completed", "batch.failed"],
    "created_at": 1_722_476_400,
    "updated_at": 1_722_476_400,
    "signing_secret_hint": "whsec_...Hh8=",
    "status": "active",
    "last_success_at": 1_722_477_431,
    "last_failure_at": None,
    "last_failure": None,
}


def _page(of: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": [of], "first_id": of["id"], "last_id": of["id"], "has_more": False}


EXAMPLES: dict[str, dict[str, Any]] = {
    "FileObject": FILE,
    "FileList": _page(FILE),
    "FileDeleted": {"object": "file", "deleted": True, "id": FILE["id"]},
    "BatchObject": BATCH,
    "BatchList": _page(BATCH),
    "NewBatch": {
        "input_file_id": FILE["id"],
        "endpoint": "/chat/completions",
        "completion_window": "24h",
        "metadata": {"team": "tides"},
    },
    "NewUpload": {
        "purpose": "batch",
        "filename": "questions.jsonl",
        "bytes": 815,
        "mime_type": "application/jsonl",
    },
    "CompleteUpload": {"part_ids": ["part_1b9d6bcd5f0e4b6cb2a3f4d2f1a0c9e8"]},
    "UploadObject": UPLOAD,
    "UploadPartObject": {
        "id": "part_1b9d6bcd5f0e4b6cb2a3f4d2f1a0c9e8",
        "object": "upload.part",
        "created_at": 1_722_476_520,
        "upload_id": UPLOAD["id"],
    },
    "NewImport": {
        "purpose": "batch",
        "filename": "questions.jsonl",
        "content_url": "https://store.example/questions.jsonl",
    },
    "NewWebhookEndpoint": {name: WEBHOOK_ENDPOINT[name] for name in ("name", "url", "event_types")},
    "WebhookEndpointObject": WEBHOOK_ENDPOINT,
    "WebhookEndpointList": _page(WEBHOOK_ENDPOINT),
    "ErrorBody": {
        "error": {
            "code": "missing_required_parameter",
            "message": "Missing required parameter: 'input_file_id'.",
            "type": "invalid_request_error",
            "param": "input_file_id",
        }
    },
}
