"""The rules of an input file: line by line, then as a whole. A valid line costs one typed decode; words cost only errors.

Every wrong line is found, with its number from 1, up to a cap on how many are kept. Which codes and texts are used depends
on the family of the caller's dialect (spec 5.1 Azure, 5.2 OpenAI); the order of the checks is that of spec 5.3.
"""

import codecs
from hashlib import blake2b

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from slackwater.core.batch import BatchError

# The endpoints that a batch may ask for, without version, and the key that a body cannot do without.
REQUIRED_KEY = {
    "/chat/completions": "messages",
    "/completions": "prompt",
    "/embeddings": "input",
    "/responses": "input",
    "/moderations": "input",
}
BOM = b"\xef\xbb\xbf"
SHOWN_MAX = 60
# An id up to this many characters is kept as it is; of a longer one a digest, which bounds what 100,000 ids can take.
ID_KEPT_MAX = 24
# Longer lines are checked for UTF-8 in pieces: a decoded copy of a whole one could take four times its size.
PIECE = 1 << 20


def is_blank(line: bytes) -> bool:
    """Whether a line of an input file is no request: blank lines count for line numbers and for nothing else.

    Lines end with LF, and with nothing else; a CR before it is white space of JSON.
    """
    return not line or line.isspace()


def normalised(url: str) -> str:
    """A url without one leading `/openai`, one leading `/v1` (in any order) and a slash at the end (spec 4.1)."""
    prefixes = ["/openai", "/v1"]
    while prefix := next((each for each in prefixes if url.startswith(each + "/")), None):
        prefixes.remove(prefix)
        url = url[len(prefix) :]
    return url.rstrip("/") or "/"


class Rules(Struct, frozen=True, kw_only=True):
    """What a file is checked against."""

    family: str
    """`azure` or `openai`: names of codes, and whether urls are compared to the letter."""
    endpoint: str
    """The batch's endpoint as the user wrote it."""
    deployments: frozenset[str] | None
    """Names that `model` may have; None takes any."""
    lines_max: int = 100_000
    errors_max: int = 100


class Verdict(Struct, frozen=True, kw_only=True):
    """What was found. `errors` are at most `errors_max`, and one more that says how many lines are not among them."""

    errors: list[BatchError]
    error_count: int
    total: int
    deployment: str | None
    endpoint: str
    """Without version; `/responses` where the file says so (see InputChecker)."""


class _Body(Struct, gc=False):
    model: str
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    stream: bool | None = None


class _Line(Struct, gc=False):
    custom_id: str
    method: str
    url: str
    body: _Body


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_decode_list = msgspec.json.Decoder(list[Raw]).decode
_decode_text = msgspec.json.Decoder(str).decode
_decode_any = msgspec.json.Decoder(Raw).decode


class InputChecker:
    """Takes the lines of one file in order and knows in the end whether it may run.

    A batch of Azure's `/chat/completions` may also be a file of `/responses` throughout: the first fitting url decides.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._azure = rules.family == "azure"
        self._errors: list[BatchError] = []
        self._error_count = 0
        self._number = 0
        self._total = 0
        self._ids: set[str | bytes] = set()
        self._lines_max = rules.lines_max
        self._model: str | None = None
        self._url: str | None = None
        self._endpoint = normalised(rules.endpoint)
        self._key = REQUIRED_KEY.get(self._endpoint, "messages")
        self._bom = False

    @property
    def faultless(self) -> bool:
        """Whether the file may run, as far as it has been read."""
        return not self._error_count and self._total <= self._lines_max

    def feed(self, line: bytes) -> bool:
        """Checks the next line of the file, with or without its line end; False if it is blank and no request."""
        self._number += 1
        if is_blank(line):
            return False
        self._total += 1
        if self._total > self._lines_max:
            # The file is refused as it is: from here on lines are only counted.
            self._ids.clear()
        elif not self._fits(line):
            fault = self._judge(line)
            if fault is not None:
                self._error_count += 1
                if len(self._errors) < self._rules.errors_max:
                    self._errors.append(fault)
        return True

    def _fits(self, line: bytes) -> bool:
        """Whether a line is like those before it and has nothing wrong: the short way, for nearly all lines."""
        try:
            if not line.isascii():
                _check_utf8(line)
            read = _decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        body = read.body
        key = _id_key(read.custom_id)
        if (
            body.model != self._model
            or read.url != self._url
            or read.method != "POST"
            or body.stream
            or not key
            or key in self._ids
            or not _begins_filled(getattr(body, self._key), self._key)
        ):
            return False
        self._ids.add(key)
        return True

    def finish(self) -> Verdict:
        """What holds for the file as a whole."""
        rules, errors, count = self._rules, self._errors, self._error_count
        if self._total == 0:
            errors, count = [BatchError(code="empty_file", message=EMPTY)], 1
        elif self._bom and self._azure:
            # Azure looks for the deployment before it looks at lines, and a byte order mark hides it (spec 5.3).
            errors, count = [BatchError(code="invalid_request", message=BOM_MESSAGE)], 1
        elif self._total > rules.lines_max:
            message = (
                f"The number of requests in the input file exceeds the maximum allowed value of {rules.lines_max:,}; "
                f"it has {self._total:,}. Split it into several files."
            )
            errors = [BatchError(code="too_many_tasks", message=message), *errors][: rules.errors_max]
            count += 1
        more = count - len(errors)
        if more > 0:
            message = f"{more:,} more lines are wrong." if more > 1 else "1 more line is wrong."
            errors = [*errors, BatchError(code="invalid_request", message=message)]
        return Verdict(
            errors=errors, error_count=count, total=self._total, deployment=self._model, endpoint=self._endpoint
        )

    # The long way: the first rule that a line breaks

    def _judge(self, line: bytes) -> BatchError | None:
        """The first rule of spec 5.3 that the line breaks; None for a first line, or one that is only written differently."""
        if self._number == 1 and line.startswith(BOM):
            self._bom = True
            return self._fault("invalid_json_line", NOT_JSON)
        try:
            _check_utf8(line)
            _decode_any(line)
            fields = _decode_fields(line)
        except RecursionError:
            return self._fault("invalid_json_line", TOO_DEEP)
        except msgspec.ValidationError:
            return self._fault("invalid_request", NOT_OBJECT)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return self._fault("invalid_json_line", NOT_JSON)
        texts: dict[str, str] = {}
        for name in ("custom_id", "method", "url"):
            if name not in fields:
                return self._missing(name, name)
            text = _text(fields[name])
            if not text:
                return self._fault("invalid_request", f"The value of '{name}' must be a non-empty string.", name)
            texts[name] = text
        # The id is taken even if something else is wrong: who mends this line should not find the next fault after that.
        key = _id_key(texts["custom_id"])
        taken = key in self._ids
        self._ids.add(key)
        if "body" not in fields:
            return self._missing("body", "body")
        try:
            body = _decode_fields(fields["body"])
        except msgspec.ValidationError:
            return self._fault("invalid_request", "The value of 'body' must be an object.", "body")
        return (
            self._judge_method(texts["method"])
            or self._judge_url(texts["url"])
            or self._judge_model(body)
            or self._judge_stream(body)
            or (self._duplicate(texts["custom_id"]) if taken else None)
            or self._judge_payload(body)
        )

    def _judge_method(self, method: str) -> BatchError | None:
        if method == "POST":
            return None
        return self._fault("invalid_request", f"The method must be 'POST', not {_shown(method)}.", "method")

    def _judge_url(self, url: str) -> BatchError | None:
        """The url must be the batch's endpoint: to the letter with OpenAI, but for prefixes with Azure."""
        path = normalised(url) if self._azure else url
        may_be_responses = self._azure and self._url is None and self._endpoint == "/chat/completions"
        if may_be_responses and path == "/responses":
            self._endpoint, self._key = path, REQUIRED_KEY[path]
        if path == (self._endpoint if self._azure else self._rules.endpoint):
            self._url = self._url or url
            return None
        if not self._azure:
            return self._fault("invalid_url", WRONG_URL, "url")
        message = (
            f"The url {_shown(url)} doesn't match the rest of the rows, or the endpoint {_shown(self._endpoint)} "
            "of the batch. Every row must have the same."
        )
        return self._fault("url_mismatch", message, "url")

    def _judge_model(self, body: dict[str, Raw]) -> BatchError | None:
        param = "body.model"
        if "model" not in body:
            message = "The body must name a deployment in 'model'." if self._azure else "Model parameter is required."
            return self._fault("invalid_request", message, param)
        model = _text(body["model"])
        if not model:
            return self._fault("invalid_request", "The value of 'model' must be a non-empty string.", param)
        if self._model is None:
            # The first name stands for the file; that there is no such deployment is said once.
            self._model = model
            known = self._rules.deployments
            if known is None or model in known:
                return None
            if self._azure:
                message = (
                    f"The deployment {_shown(model)} that the model property of the input file names wasn't found. "
                    "Please ensure that it is the name of a deployment of this service."
                )
                return self._fault("model_not_found", message, param)
            message = f"The provided model {_shown(model)} is not supported by the Batch API."
            return self._fault("model_not_found", message, param)
        if model == self._model:
            return None
        message = f"The model {_shown(model)} doesn't match the rest of the file, which has {_shown(self._model)}."
        return self._fault("model_mismatch" if self._azure else "mismatched_model", message, param)

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

    def _judge_payload(self, body: dict[str, Raw]) -> BatchError | None:
        key = self._key
        payload = body.get(key, UNSET)
        if payload is UNSET or bytes(memoryview(payload)[:4]) == b"null":
            return self._missing(f"body.{key}", key)
        if _begins_filled(payload, key):
            return None
        try:
            if _decode_list(payload):
                return None
        except msgspec.ValidationError:
            pass
        what = "an array with at least one message" if key == "messages" else "a string or an array that is not empty"
        return self._fault("invalid_request", f"The value of '{key}' must be {what}.", f"body.{key}")

    def _duplicate(self, custom_id: str) -> BatchError:
        message = f"The custom_id {_shown(custom_id)} is used by an earlier line; every request needs its own."
        return self._fault("duplicate_custom_id", message, "custom_id")

    def _missing(self, param: str, name: str) -> BatchError:
        code = "invalid_request" if self._azure else "missing_required_parameter"
        return self._fault(code, f"Missing required parameter: '{name}'.", param)

    def _fault(self, code: str, message: str, param: str | None = None) -> BatchError:
        return BatchError(code=code, message=message, param=param, line=self._number)


def _check_utf8(line: bytes) -> None:
    """Raises UnicodeDecodeError. Needed because what msgspec leaves raw, it does not check."""
    if len(line) <= PIECE:
        str(line, "utf-8")
        return
    decoder = codecs.getincrementaldecoder("utf-8")()
    view = memoryview(line)
    for start in range(0, len(line), PIECE):
        decoder.decode(bytes(view[start : start + PIECE]))
    decoder.decode(b"", final=True)


def _id_key(custom_id: str) -> str | bytes:
    """What stands for an id among those seen: itself, or 16 bytes that no other id has."""
    if len(custom_id) <= ID_KEPT_MAX and custom_id.isascii():
        return custom_id
    return blake2b(custom_id.encode(), digest_size=16).digest()


def _begins_filled(payload: Raw | UnsetType, key: str) -> bool:
    """Whether a payload is surely a string or an array with something in it, by its first bytes alone."""
    if payload is UNSET:
        return False
    # Copying the whole of it would be the dearest step of all.
    start = bytes(memoryview(payload)[:32])
    if start[0] == 0x5B:
        return start[1:].lstrip()[:1] not in (b"", b"]")
    return start[0] == 0x22 and key != "messages"


def _text(value: Raw) -> str | None:
    """The string that a JSON value is, if it is one."""
    try:
        return _decode_text(value)
    except msgspec.ValidationError:
        return None


def _shown(text: str) -> str:
    """A value of the user's in a message: quoted, and shortened where it is long."""
    return f"'{text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + '...'}'"


NOT_JSON = "This line is not parseable as valid JSON."
NOT_OBJECT = "This line is not a JSON object with custom_id, method, url and body."
TOO_DEEP = "This line is not parseable as valid JSON: it is nested too deeply."
WRONG_URL = "The URL provided for this request does not match the batch endpoint."
STREAMING = "Chat Completions: Streaming is not supported in the Batch API."
EMPTY = "The input file is empty. Please ensure that the batch contains at least one request."
BOM_MESSAGE = (
    "Validation failed: A valid model deployment name couldn't be extracted from the input file. Please ensure that each "
    "row in the input file has a valid deployment name specified in the 'model' field, and that the deployment name is "
    "consistent across all rows."
)
