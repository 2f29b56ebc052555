"""A closer look at the body of an upstream answer that is not like most, key by key: what is nearly right is kept and made valid.

Only the keys at the top, and those of an error and of choices, are looked at: a text that speaks of errors is no error. All of
it takes time in proportion to the body, whatever a stranger put into it. Whether there is an answer in an object depends on
what was asked for (ANSWERS). Before: answers.py, which reads the usual ones.
"""

from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from msgspec import Raw

from slackwater.core.sending.answer_kinds import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGES,
    MESSAGES,
    MODERATIONS,
    RERANK,
    RESPONSES,
    SCORE,
    SPEECH,
    SUCCESSFUL,
    UNSUCCESSFUL,
    VIDEOS,
    WITH_CHOICES,
    Answer,
    ErrorInside,
    Unreadable,
)
from slackwater.core.sending.lines import Billed, UsageSaid, one_line, usage_in, usage_of
from slackwater.core.sending.mending import MENDED_MAX, TooBroken, mended

# As for the header: who asks for more is asked again after an hour.
RETRY_AFTER_MAX_SECONDS = 3600.0

# The statuses that names of errors stand for. Case, `_`, `-` and blanks do not count. Where the names are from:
#   OpenAI      platform.openai.com/docs/guides/error-codes; `ResponseError` of the Responses API in openai-python
#   Azure       learn.microsoft.com, content filter (`code: content_filter, status: 400`), DeploymentNotFound
#   vLLM        `create_error_response`: BadRequestError, NotFoundError, NotImplementedError, InternalServerError with a
#               number as `code`; older ones {"object": "error", ...} without `error` around it, as MLC LLM still does
#   OpenRouter  openrouter.ai/docs/api/reference/errors-and-debugging: status 200 once a model works on it, then
#               {"error": {"code": 429, "metadata": {...}}} or the same in a choice with `finish_reason: error`
#   LiteLLM     docs.litellm.ai/docs/proxy/error_reference: `code` is the status, as a string
#   Anthropic   docs.anthropic.com/en/api/errors: {"type": "error", "error": {"type": "overloaded_error"}}
#   Google      its OpenAI-compatible endpoint: `code` a number, `status: RESOURCE_EXHAUSTED` (google.rpc.Code)
NAMED = {
    400: "invalid_request_error invalid_request bad_request bad_request_error invalid_argument failed_precondition "
    "invalid_prompt invalid_value context_length_exceeded context_window_exceeded_error string_above_max_length "
    "content_filter content_policy_violation content_policy_violation_error responsible_ai_policy_violation bio_policy "
    "invalid_image invalid_image_format invalid_base64_image invalid_image_url image_too_large image_too_small "
    "image_parse_error image_content_policy_violation invalid_image_mode image_file_too_large image_file_not_found "
    "unsupported_image_media_type empty_image_file failed_to_download_image unsupported_value unsupported_parameter "
    "max_tokens_exceeded token_limit_exceeded string_too_long moderation_blocked",
    401: "invalid_api_key authentication_error unauthenticated unauthorized",
    402: "billing_error payment_required insufficient_credits",
    403: "permission_error permission_denied permission_denied_error forbidden",
    404: "model_not_found not_found_error not_found deployment_not_found",
    408: "timeout request_timeout",
    409: "conflict_error",
    413: "request_too_large payload_too_large",
    422: "unprocessable_entity_error",
    429: "rate_limit_exceeded rate_limit_error rate_limit_reached too_many_requests insufficient_quota quota_exceeded "
    "resource_exhausted throttling_error billing_hard_limit_reached",
    500: "server_error internal_server_error internal_error internal api_error api_connection_error engine_dead_error "
    "vector_store_timeout",
    501: "not_implemented_error unimplemented",
    502: "bad_gateway provider_unavailable upstream_error",
    503: "service_unavailable service_unavailable_error unavailable",
    504: "timeout_error deadline_exceeded gateway_timeout",
    529: "overloaded_error overloaded provider_overloaded",
}
_BLANKS = str.maketrans("", "", "_- ")
_STATUS = {name.translate(_BLANKS): status for status, names in NAMED.items() for name in names.split()}

# Where an answer may be, by what was asked for. First is where the vendors' APIs have it; the others are those of engines that
# stand behind such a path with an API of their own: Ollama (message, response, embedding, embeddings), llama.cpp (content), TGI
# (generated_text), text-generation-webui and KoboldAI (results), Gemini (candidates), Anthropic (content, completion), DashScope
# and Replicate (output), Qianfan (result), MiniMax (reply), Triton and KServe (outputs, predictions), vLLM's `/generate` (text).
_TEXTS = (
    *("choices", "message", "response", "content", "text", "generated_text", "results", "candidates", "completion"),
    *("output", "outputs", "result", "reply", "predictions"),
)
ANSWERS = {
    CHAT: _TEXTS,
    COMPLETIONS: _TEXTS,
    RESPONSES: ("output", "output_text", "choices", "message", "content"),
    EMBEDDINGS: ("data", "embedding", "embeddings", "results", "outputs", "predictions"),
    MODERATIONS: ("results", "flagged", "categories", "data"),
    IMAGES: ("data", "images", "output", "artifacts"),
    IMAGE_EDITS: ("data", "images", "output", "artifacts"),
    VIDEOS: ("id", "data", "video", "url", "output"),
    MESSAGES: ("content", "choices", "message", "completion"),
    RERANK: ("results", "data", "rankings", "output", "choices"),
    SCORE: ("data", "scores", "score", "results", "choices"),
    SPEECH: ("audio", "data", "url", "output"),
}
# Keys of objects that say in a way of their own what went wrong. What is no answer and has none of these says nothing of use.
TROUBLE = frozenset({"errors", "error_type", "detail", "details", "msg", "code", "status_code", "base_resp", "choices"})

SCORES = frozenset({"score", "relevance_score"})

_Fields = dict[str, Raw]
T = TypeVar("T")

_fields = msgspec.json.Decoder(_Fields).decode
_list = msgspec.json.Decoder(list[Raw]).decode
_usage = msgspec.json.Decoder(UsageSaid).decode
_meta = msgspec.json.Decoder(Billed).decode
_text = msgspec.json.Decoder(str).decode
_scalar = msgspec.json.Decoder(int | float | str).decode


def look_closer(body: bytes, path: str) -> Answer | ErrorInside | Unreadable:
    """The verdict on a body that is not like most, key by key."""
    changed = False
    try:
        fields = _object(body)
    except (msgspec.ValidationError, RecursionError) as error:
        if path == RERANK and (ranked := _ranking(body)) is not None:
            return ranked
        return Unreadable(_kind(body, error))
    except (msgspec.DecodeError, UnicodeDecodeError):
        try:
            body, changed = mended(body), True
            fields = _object(body)
        except TooBroken:
            return Unreadable(f"JSON with more than {MENDED_MAX} faults")
        except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError) as error:
            return Unreadable(_kind(body, error))
    sources = _error_of(fields, path)
    if sources is not None:
        return ErrorInside(_status_of(sources), one_line(body), _retry_after_of(sources), changed)
    if (why := _lacks(fields, path)) is not None:
        return Unreadable(why)
    usage = _read(_usage, fields.get("usage")) or usage_in(_read(_meta, fields.get("meta")))
    return Answer(
        None if usage is None else usage_of(usage), _read(_text, fields.get("model")), one_line(body), changed
    )


def _ranking(body: bytes) -> Answer | None:
    """A bare array of what was ranked, as SGLang and text-embeddings-inference answer: made the object that others send."""
    items = _read(_list, Raw(body))
    if not items or any((fields := _read(_fields, item)) is None or not SCORES & fields.keys() for item in items):
        return None
    return Answer(None, None, b'{"results":%b}' % one_line(body), mended=True)


def _object(body: bytes) -> _Fields:
    """The values at the top, each a piece of JSON."""
    if not body.isascii():
        str(body, "utf-8")
    return _fields(body)


def _error_of(fields: _Fields, path: str) -> list[_Fields] | None:
    """The objects that tell about the error inside, the nearest first. None where there is no error."""
    error = fields.get("error")
    if _says(error):
        return _sources(error, fields)
    if _read(_text, fields.get("object")) == "error":
        return [fields]
    if path in WITH_CHOICES and (choices := _read(_list, fields.get("choices"))):
        failed = [_read(_fields, choice) or {} for choice in choices]
        if all(_says(each.get("error")) or _read(_text, each.get("finish_reason")) == "error" for each in failed):
            return _sources(failed[0].get("error"), fields)
        return None
    with_status = path in (RESPONSES, VIDEOS) or _read(_text, fields.get("object")) in ("response", "video")
    if with_status and _read(_text, fields.get("status")) in UNSUCCESSFUL:
        return [fields]
    told = fields.keys() & TROUBLE
    if told and _lacks(fields, path) is not None and any(key == "choices" or _says(fields[key]) for key in told):
        return [fields]
    return None


def _lacks(fields: _Fields, path: str) -> str | None:
    """What is not there of what was asked for, in a few words; None where there is an answer."""
    keys = ANSWERS.get(path)
    if keys is None:
        return None if fields else "an empty JSON object"
    if path == RESPONSES and (
        _read(_text, fields.get("status")) in SUCCESSFUL or _read(_text, fields.get("object")) == "response"
    ):
        return None
    if path == MESSAGES and _read(_text, fields.get("type")) == "message":
        # A model may have nothing to add.
        return None
    for key in keys:
        value = fields.get(key)
        # Some engines answer with one message; others say here what went wrong.
        if _says(value) and not (key == "message" and bytes(value or b"")[:1] != b"{"):
            return None
    return f"JSON that has no `{keys[0]}`"


def _says(value: Raw | None) -> bool:
    """Whether a value is more than null, false, 0, or something empty; an object of nulls says nothing, either."""
    if value is None:
        return False
    text = bytes(value)
    if text[:1] == b"{":
        return any(bytes(each) != b"null" for each in _fields(text).values())
    if text[:1] == b"[":
        return bool(_list(text))
    return text not in (b"null", b"false", b"0", b'""', b"")


def _sources(error: Raw | None, fields: _Fields) -> list[_Fields]:
    nearest = _read(_fields, error)
    if nearest is None:
        return [fields]
    metadata = _read(_fields, nearest.get("metadata"))
    return [nearest, fields] if metadata is None else [nearest, metadata, fields]


def _status_of(sources: Iterable[_Fields]) -> int:
    """The status that an error counts as: a number from 400 to 599 if it has one, else what its name stands for."""
    for source in sources:
        for key in ("code", "status", "status_code"):
            said = _read(_scalar, source.get(key))
            if isinstance(said, str) and len(said) == 3 and said.isascii() and said.isdigit():
                said = int(said)
            if isinstance(said, int) and 400 <= said < 600:
                return said
        for key in ("code", "status", "type", "error_type"):
            said = _read(_scalar, source.get(key))
            if isinstance(said, str) and (status := _STATUS.get(said[:80].translate(_BLANKS).lower())) is not None:
                return status
    return 500


def _retry_after_of(sources: Iterable[_Fields]) -> float | None:
    for source in sources:
        for key in ("retry_after", "retry_after_seconds"):
            said = _read(_scalar, source.get(key))
            if isinstance(said, int | float) and said >= 0:
                return min(float(said), RETRY_AFTER_MAX_SECONDS)
    return None


def _read(decode: Callable[[Raw], T], value: Raw | None) -> T | None:
    """The value if it has the type, else None."""
    if value is None:
        return None
    try:
        return decode(value)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def _kind(body: bytes, error: Exception) -> str:
    """What a body is that is no JSON object."""
    begin = bytes(body[:64]).lstrip()
    if not begin and not body.strip():
        return "an empty body"
    if begin.startswith((b"data:", b"event:", b"id:", b"retry:", b":")):
        return "a stream of events that nobody asked for"
    if begin.startswith(b"<"):
        return "XML" if begin.startswith(b"<?xml") else "HTML"
    if isinstance(error, RecursionError):
        return "JSON that is nested too deeply"
    if isinstance(error, msgspec.ValidationError):
        names = {b"[": "a JSON array", b'"': "a JSON string", b"n": "null", b"t": "true", b"f": "false"}
        return names.get(begin[:1], "a JSON number")
    if not begin.startswith((b"{", b"[")):
        return "something that is not JSON"
    text = str(error)
    if "truncated" in text:
        return "half a body: JSON that ends too early"
    if "trailing" in text:
        return "more than one JSON value"
    return f"broken JSON ({text.removeprefix('JSON is malformed: ')})"
