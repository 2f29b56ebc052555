"""The long way of a line: the first rule of the contract that it breaks (spec 5.3), in the words of the caller's family.

Only lines that validation.py cannot wave through come here: the first of a file, wrong ones, and those that are written in
an unusual way. Codes and texts are those of spec 5.1 (Azure) and 5.2 (OpenAI).
"""

import codecs
import re
from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw, Struct

from slackwater.core.batch import BatchError
from slackwater.core.endpoints import MESSAGES, NO_ASSISTANTS, REQUIRED_KEY, normalised, of_assistants
from slackwater.core.input.endpoint_rules import TYPED, endpoint_flaw
from slackwater.core.input.payloads import (
    Flaw,
    decode_any,
    decode_fields,
    decode_line,
    fields_of,
    format_flaw,
    image_flaw,
    inputs_in,
    is_null,
    payload_flaw,
    shown,
    text_of,
)
from slackwater.core.input.whole_file import BOM
from slackwater.core.sending.deployment import Capabilities
from slackwater.core.sending.sku import takes_batches

# The family of a run without a server: OpenAI's names, and each line has an endpoint and a model of its own. In the second,
# what a line says of the model does not count, because another one is sent.
EACH_LINE, EACH_LINE_ANY_MODEL = "each_line", "each_line_any_model"
# Scheme and host before a path, or a host alone.
ADDRESS = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*(?P<path>[^?#]*)")
# The code of a line that is no JSON.
INVALID_JSON = "invalid_json_line"
NULL = Raw(b"null")
# An id up to this many characters is kept as it is; of a longer one a digest, which bounds what 100,000 ids can take.
ID_KEPT_MAX = 24
# Deployments that are named to whoever has named another one.
NAMED_MAX = 5
# Longer lines are checked for UTF-8 in pieces: a decoded copy of a whole one could take four times its size.
PIECE = 1 << 20


class InputLimits(Struct, frozen=True, kw_only=True):
    """How much a file may hold, and how much is said of what is wrong with it."""

    lines_max: int = 100_000
    """0 is no limit."""
    embedding_inputs_max: int = 50_000
    """Texts to be embedded, over all lines; 0 is no limit."""
    errors_max: int = 100
    """Errors that are told one by one; the others are counted."""


class Rules(InputLimits, frozen=True, kw_only=True):
    """What a file is checked against."""

    family: str
    """`azure` or `openai`: names of codes, and whether urls are compared to the letter. Or EACH_LINE, which no server has."""
    endpoint: str
    """The batch's endpoint as the user wrote it."""
    deployments: Mapping[str, Capabilities] | None
    """Names that `model` may have, and what may be asked of them; None takes any, and for anything."""


class LineJudge:
    """Judges the lines of one file in order, and knows what the lines so far have settled for the others."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._azure = rules.family == "azure"
        self._each = rules.family in (EACH_LINE, EACH_LINE_ANY_MODEL)
        self._any_model = rules.family == EACH_LINE_ANY_MODEL
        self._number = 0
        self.endpoint = ""
        """Without version. A batch of Azure's `/chat/completions` may also be a file of `/responses` throughout. Where each line
        has its own, that of the last one."""
        self.mixed = False
        """Whether lines have different endpoints."""
        self.key = ""
        """Where the payload of a body lies."""
        self.decode: Callable[[bytes], Any] = decode_line
        """The typed decode that lines of this endpoint need, and whether it leaves the payload to be looked at."""
        self.plain = True
        self._asks_for(normalised(rules.endpoint))
        self.url: str | None = None
        """The first url that fitted."""
        self.model: str | None = None
        """The first name of a deployment."""
        self.sees_images = True
        self.bom = False
        """Whether the file begins with a byte order mark."""
        self.ids: set[str | bytes] = set()
        """The ids of the lines so far, each as its `id_key`."""
        self.inputs = 0
        """Texts to be embedded so far."""

    def _asks_for(self, endpoint: str) -> None:
        """The lines from here on are of this endpoint."""
        self.endpoint, self.key = endpoint, REQUIRED_KEY.get(endpoint, "messages")
        self.decode = TYPED.get(endpoint, decode_line)
        self.plain = endpoint not in TYPED

    @property
    def embeds(self) -> bool:
        """Whether the lines are requests for embeddings."""
        return self.endpoint == "/embeddings"

    def judge(self, line: bytes, number: int) -> BatchError | None:
        """The first rule that the line breaks; None for a first line, or one that is only written differently."""
        self._number = number
        try:
            return self._judge(line)
        except RecursionError:
            return self._fault(INVALID_JSON, TOO_DEEP)

    def _judge(self, line: bytes) -> BatchError | None:
        if self._number == 1 and line.startswith(BOM):
            self.bom = True
            return self._fault(INVALID_JSON, NOT_JSON)
        try:
            check_utf8(line)
            decode_any(line)
            fields = decode_fields(line)
        except msgspec.ValidationError:
            return self._fault("invalid_request", NOT_OBJECT)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._fault(INVALID_JSON, NOT_JSON)
        texts: dict[str, str] = {}
        for name in ("custom_id", "method", "url"):
            if name not in fields:
                return self._missing(name)
            text = text_of(fields[name])
            if not text:
                return self._fault("invalid_request", f"The value of '{name}' must be a non-empty string.", name)
            texts[name] = text
        # The id is taken even if something else is wrong: who mends this line should not find the next fault after that.
        key = id_key(texts["custom_id"])
        taken = key in self.ids
        self.ids.add(key)
        if "body" not in fields:
            return self._missing("body")
        body = fields_of(fields["body"])
        if body is None:
            return self._fault("invalid_request", "The value of 'body' must be an object.", "body")
        return (
            self._judge_method(texts["method"])
            or self._judge_url(texts["url"])
            or self._judge_model(body)
            or self._judge_stream(body)
            or self._judge_data_sources(body)
            or (self._duplicate(texts["custom_id"]) if taken else None)
            or self._judge_payload(body)
        )

    def _judge_method(self, method: str) -> BatchError | None:
        if method == "POST":
            return None
        return self._fault("invalid_request", f"The method must be 'POST', not {shown(method)}.", "method")

    def _judge_url(self, url: str) -> BatchError | None:
        """The url must be the batch's endpoint: to the letter with OpenAI, but for prefixes with Azure."""
        fault = unfit_url(url)
        if self._each:
            if fault is not None:
                return self._fault("invalid_url", NO_ASSISTANTS if of_assistants(url) else fault, "url")
            own = normalised(url)
            self.mixed = self.mixed or (self.url is not None and own != self.endpoint)
            self.url = url
            if own != self.endpoint:
                self._asks_for(own)
            return None
        path = normalised(url) if self._azure else url
        may_be_responses = self._azure and self.url is None and self.endpoint == "/chat/completions"
        if may_be_responses and path == "/responses":
            self._asks_for(path)
        if fault is None and path == (self.endpoint if self._azure else self._rules.endpoint):
            self.url = self.url or url
            return None
        code = "url_mismatch" if self._azure else "invalid_url"
        if of_assistants(url):
            return self._fault(code, NO_ASSISTANTS, "url")
        if not self._azure:
            return self._fault(code, WRONG_URL if fault is None else f"{WRONG_URL} {fault}", "url")
        message = fault or (
            f"The url {shown(url)} doesn't match the rest of the rows, or the endpoint {shown(self.endpoint)} "
            "of the batch. Every row must have the same."
        )
        return self._fault(code, message, "url")

    def _judge_model(self, body: dict[str, Raw]) -> BatchError | None:
        param = "body.model"
        if self._any_model:
            self.model = text_of(body.get("model", NULL)) or self.model
            return None
        if "model" not in body:
            message = "The body must name a deployment in 'model'." if self._azure else "Model parameter is required."
            return self._fault("invalid_request", message, param)
        model = text_of(body["model"])
        if not model:
            return self._fault("invalid_request", "The value of 'model' must be a non-empty string.", param)
        if self.model is None:
            # The first name stands for the file; what is wrong with the deployment is said once.
            self.model = model
            return self._judge_deployment(model)
        if self._each:
            self.model = model
        if model == self.model:
            return None
        message = f"The model {shown(model)} doesn't match the rest of the file, which has {shown(self.model)}."
        return self._fault("model_mismatch" if self._azure else "mismatched_model", message, param)

    def _judge_deployment(self, model: str) -> BatchError | None:
        """Whether there is this deployment, and whether it offers the endpoint; urls have been judged by then."""
        if self._rules.deployments is None:
            return None
        capabilities = self._rules.deployments.get(model)
        if capabilities is None:
            if not self._azure:
                message = f"The provided model {shown(model)} is not supported by the Batch API."
                return self._fault("model_not_found", message, "body.model")
            message = (
                f"The deployment {shown(model)} that the model property of the input file names wasn't found. "
                f"Please ensure that it is the name of a deployment of this service{_such_as(self._rules.deployments)}."
            )
            return self._fault("model_not_found", message, "body.model")
        self.sees_images = capabilities.images
        if not takes_batches(capabilities.sku):
            message = (
                f"The deployment SKU is invalid: the deployment {shown(model)} is '{capabilities.sku}'. Use one with the "
                "SKU 'GlobalBatch' or 'DataZoneBatch'."
            )
            # About the deployment and no line: said once, for the file.
            return BatchError(code="invalid_request", message=message, param="body.model")
        if self.endpoint in capabilities.endpoints:
            return None
        message = (
            f"The deployment {shown(model)} does not offer {self.endpoint}, only {', '.join(capabilities.endpoints)}. "
            "Choose another deployment, or another endpoint for the batch."
        )
        return self._fault("invalid_request", message, "body.model")

    def _judge_stream(self, body: dict[str, Raw]) -> BatchError | None:
        value = bytes(body.get("stream", b"null"))
        if value in (b"null", b"false"):
            return None
        if value != b"true":
            return self._fault("invalid_request", "The value of 'stream' must be false or absent.", "body.stream")
        if not self._azure:
            return self._fault("streaming_unsupported", STREAMING, "body.stream")
        message = "Streaming is not supported in a batch; remove 'stream' or set it to false."
        return self._fault("invalid_request", message, "body.stream")

    def _judge_data_sources(self, body: dict[str, Raw]) -> BatchError | None:
        """Azure OpenAI On Your Data. Left in, an engine that does not know it would answer without the data (spec 8.1)."""
        if is_null(body.get("data_sources", NULL)):
            return None
        return self._fault("invalid_request", NO_DATA_SOURCES, "body.data_sources")

    def _judge_payload(self, body: dict[str, Raw]) -> BatchError | None:
        if self.endpoint in TYPED:
            flaw = endpoint_flaw(body, self.endpoint)
            if flaw is None and not self.sees_images and self.endpoint == MESSAGES:
                flaw = image_flaw(body, self.key)
            return None if flaw is None else self._flawed(flaw)
        flaw = payload_flaw(body, self.key)
        if flaw is None and not self.sees_images:
            flaw = image_flaw(body, self.key)
        flaw = flaw or format_flaw(body, self.endpoint)
        if flaw is not None:
            return self._flawed(flaw)
        if self.embeds:
            self.inputs += inputs_in(body[self.key])
        return None

    def _flawed(self, flaw: Flaw) -> BatchError:
        code = "missing_required_parameter" if flaw.missing and not self._azure else "invalid_request"
        return self._fault(code, flaw.message, flaw.param)

    def _duplicate(self, custom_id: str) -> BatchError:
        message = f"The custom_id {shown(custom_id)} is used by an earlier line; every request needs its own."
        return self._fault("duplicate_custom_id", message, "custom_id")

    def _missing(self, name: str) -> BatchError:
        return self._flawed(Flaw(name, f"Missing required parameter: '{name}'.", missing=True))

    def _fault(self, code: str, message: str, param: str | None = None) -> BatchError:
        return BatchError(code=code, message=message, param=param, line=self._number)


def unfit_url(url: str) -> str | None:
    """What is wrong with a url that no batch may have; None for one of an endpoint that there is."""
    path = normalised(url)
    if path in REQUIRED_KEY:
        return None
    parts = ADDRESS.match(url)
    if parts is not None and (meant := normalised(parts["path"] or "/")) in REQUIRED_KEY:
        return f"The url {shown(url)} is an address. A line has only the path, '/v1{meant}'; it does not choose who answers."
    if parts is not None or not url.startswith("/"):
        return f"The url {shown(url)} is no path of an endpoint, such as '/v1/chat/completions'."
    return f"The endpoint {shown(url)} is not offered in a batch; offered are {', '.join(f'/v1{each}' for each in REQUIRED_KEY)}."


def check_utf8(line: bytes) -> None:
    """Raises UnicodeDecodeError. Needed because what msgspec leaves raw, it does not check."""
    if len(line) <= PIECE:
        str(line, "utf-8")
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(line)
    for start in range(0, len(line), PIECE):
        decoder.decode(bytes(view[start : start + PIECE]))
    decoder.decode(b"", final=True)


def id_key(custom_id: str) -> str | bytes:
    """What stands for an id among those seen: itself, or 16 bytes that no other id has."""
    if len(custom_id) <= ID_KEPT_MAX and custom_id.isascii():
        return custom_id
    return blake2b(custom_id.encode(), digest_size=16).digest()


def _such_as(names: Iterable[str]) -> str:
    """Some of the names, for the end of a sentence."""
    known = sorted(names)
    some = ", ".join(map(shown, known[:NAMED_MAX]))
    return f", such as {some}" if known[NAMED_MAX:] else f": {some}" if known else "; it has none"


NOT_JSON = "This line is not parseable as valid JSON."
NOT_OBJECT = "This line is not a JSON object with custom_id, method, url and body."
TOO_DEEP = "This line is not parseable as valid JSON: it is nested too deeply."
WRONG_URL = "The URL provided for this request does not match the batch endpoint."
STREAMING = "Chat Completions: Streaming is not supported in the Batch API."
NO_DATA_SOURCES = (
    "Data sources (Azure OpenAI On Your Data) are not supported in a batch; remove 'data_sources', and put what the model "
    "needs to know into the messages."
)
