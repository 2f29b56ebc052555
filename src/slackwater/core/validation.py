"""The rules of an input file: line by line, then as a whole. A valid line costs one typed decode; words cost only errors.

Every wrong line is found, with its number from 1, up to a cap on how many are kept. Which codes and texts are used depends
on the family of the caller's dialect (spec 5.1 Azure, 5.2 OpenAI); the order of the checks is that of spec 5.3.
"""

from hashlib import blake2b

import msgspec
from msgspec import UNSET, Raw, Struct, UnsetType

from slackwater.core.batch import BatchError
from slackwater.core.tokens import TextSample

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
ID_KEPT_MAX = 64


def is_blank(line: bytes) -> bool:
    """Whether a line of an input file is no request: blank lines count for line numbers and for nothing else."""
    return not line or line.isspace()


def normalised(url: str) -> str:
    """A url without one leading `/openai`, one leading `/v1` and a slash at the end (spec 4.1)."""
    for _ in range(2):
        for prefix in ("/openai/", "/v1/"):
            if url.startswith(prefix):
                url = url[len(prefix) - 1 :]
                break
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
    """What was found. `errors` are the first `errors_max`, and one that says how many more there are."""

    errors: list[BatchError]
    error_count: int
    total: int
    model: str | None
    endpoint: str


class _Body(Struct):
    model: str
    messages: Raw | UnsetType = UNSET
    input: Raw | UnsetType = UNSET
    prompt: Raw | UnsetType = UNSET
    stream: bool | None = None


class _Line(Struct):
    custom_id: str
    method: str
    url: str
    body: _Body


_decode_line = msgspec.json.Decoder(_Line).decode
_decode_object = msgspec.json.Decoder(dict[str, Raw]).decode


class InputChecker:
    """Takes the lines of one file in order and knows in the end whether it may run."""

    def __init__(self, rules: Rules, sample: TextSample | None = None) -> None:
        """`sample` is shown every valid line, for the token count."""
        self._rules = rules
        self._azure = rules.family == "azure"
        self._sample = sample
        self._errors: list[BatchError] = []
        self._error_count = 0
        self._number = 0
        self._ids: set[str | bytes] = set()
        self._lines_max = rules.lines_max
        self._model: str | None = None
        self._url: str | None = None
        self._endpoint = normalised(rules.endpoint)
        self._key = REQUIRED_KEY.get(self._endpoint, "messages")
        self._bom = False
        self.total = 0

    def feed(self, line: bytes) -> bool:
        """Checks the next line of the file, with or without its line end; False if it is blank and no request."""
        self._number += 1
        if is_blank(line):
            return False
        self.total += 1
        if self.total <= self._lines_max:
            self._check(line)
        return True

    def _check(self, line: bytes) -> None:
        if self._number == 1 and line.startswith(BOM):
            self._bom = True
            self._fault("invalid_json_line", BOM_MESSAGE if self._azure else NOT_JSON)
            return
        try:
            if not line.isascii():
                str(line, "utf-8")
            read = _decode_line(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self._explain(line)
            return
        if read.method != "POST":
            self._fault("invalid_request", f"The method must be POST, not {_shown(read.method)}.", param="method")
            return
        if read.url != self._url and not self._accept_url(read.url):
            return
        body = read.body
        if body.model != self._model and not self._accept_model(body.model):
            return
        if body.stream:
            self._streaming()
            return
        if not read.custom_id:
            self._fault("invalid_request", "The custom_id must not be empty.", param="custom_id")
            return
        payload = getattr(body, self._key)
        if payload is UNSET or not self._accept_payload(view := memoryview(payload)):
            self._missing(f"body.{self._key}", self._key)
            return
        # Short ids are kept as they are; a digest bounds what long ones can take.
        key: str | bytes = read.custom_id
        if len(key) > ID_KEPT_MAX:
            key = blake2b(read.custom_id.encode(), digest_size=16).digest()
        if key in self._ids:
            self._fault(
                "duplicate_custom_id",
                f"The custom_id {_shown(read.custom_id)} is used by an earlier line; every request needs its own.",
                param="custom_id",
            )
            return
        self._ids.add(key)
        if self._sample is not None:
            self._sample.offer(self.total, view)

    def finish(self) -> Verdict:
        """What holds for the file as a whole."""
        rules = self._rules
        if self.total == 0:
            self._errors = [BatchError(code="empty_file", message=EMPTY)]
            self._error_count = 1
        elif self.total > rules.lines_max:
            message = (
                f"The number of requests in the input file exceeds the maximum allowed value of {rules.lines_max:,}; "
                f"it has {self.total:,}. Split it into several files."
            )
            self._errors.insert(0, BatchError(code="too_many_tasks", message=message))
            self._error_count += 1
        elif self._bom and self._azure:
            # Azure looks for the deployment before it looks at lines, and a byte order mark hides it (spec 5.3).
            self._errors = [BatchError(code="invalid_request", message=BOM_MESSAGE)]
            self._error_count = 1
        elif self._model is not None and rules.deployments is not None and self._model not in rules.deployments:
            self._errors.insert(0, self._unknown_model(self._model))
            self._error_count += 1
        unseen = self._error_count - len(self._errors)
        if unseen > 0:
            self._errors.append(BatchError(code="invalid_request", message=f"{unseen:,} more lines are wrong."))
        return Verdict(
            errors=self._errors,
            error_count=self._error_count,
            total=self.total,
            model=self._model,
            endpoint=self._endpoint,
        )

    # What a valid line needs

    def _accept_url(self, url: str) -> bool:
        """The first url must fit the endpoint; the others must equal the first."""
        fits = url == self._rules.endpoint if not self._azure else normalised(url) == self._endpoint
        if self._url is None:
            if not fits and self._azure and self._endpoint == "/chat/completions" and normalised(url) == "/responses":
                # Azure decides between chat and responses by looking at the file (spec 4.1).
                self._endpoint, self._key = "/responses", REQUIRED_KEY["/responses"]
                fits = True
            if fits:
                self._url = url
        if not fits:
            if self._azure:
                message = (
                    f"The url {_shown(url)} does not match the rest of the rows or the endpoint "
                    f"{_shown(self._rules.endpoint)} of the batch."
                )
                self._fault("url_mismatch", message, param="url")
            else:
                self._fault(
                    "invalid_url", "The URL provided for this request does not match the batch endpoint.", param="url"
                )
        return fits

    def _accept_model(self, model: str) -> bool:
        if self._model is None and model:
            self._model = model
            return True
        if not model:
            self._fault("invalid_request", "The model must not be empty.", param="body.model")
        elif self._azure:
            message = (
                f"The model {_shown(model)} does not match the rest of the file, which has {_shown(self._model or '')}."
            )
            self._fault("model_mismatch", message, param="body.model")
        else:
            message = f"The model {_shown(model)} differs from {_shown(self._model or '')}; a batch may use one model."
            self._fault("mismatched_model", message, param="body.model")
        return False

    def _accept_payload(self, payload: memoryview) -> bool:
        # The start is enough, and copying the rest would be the dearest step of all.
        start = bytes(payload[:64])
        if self._key == "messages":
            return start.startswith(b"[") and not start[1:].lstrip().startswith(b"]")
        return start != b"null"

    def _unknown_model(self, model: str) -> BatchError:
        if self._azure:
            message = (
                f"The deployment name {_shown(model)} that the model property of the input file gives was not found. "
                "Ensure that it names a deployment of this service."
            )
            return BatchError(code="model_not_found", message=message)
        message = f"The provided model {_shown(model)} is not supported by the Batch API."
        return BatchError(code="model_not_found", message=message, param="body.model", line=1)

    # What is wrong with an invalid one

    def _explain(self, line: bytes) -> None:
        """A line that did not decode: the first rule of spec 5.3 that it breaks."""
        try:
            str(line, "utf-8")
            msgspec.json.decode(line, type=Raw)
            fields = _decode_object(line)
        except (msgspec.ValidationError, RecursionError):
            self._fault("invalid_json_line" if not self._azure else "invalid_request", NOT_OBJECT)
            return
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._fault("invalid_json_line", NOT_JSON)
            return
        for name in ("custom_id", "method", "url"):
            if name not in fields:
                return self._missing(name, name)
            if not bytes(fields[name]).startswith(b'"'):
                return self._fault("invalid_request", f"The value of '{name}' must be a string.", param=name)
        if "body" not in fields:
            return self._missing("body", "body")
        try:
            body = _decode_object(fields["body"])
        except msgspec.MsgspecError:
            return self._fault("invalid_request", "The value of 'body' must be an object.", param="body")
        if "model" not in body:
            if self._azure:
                return self._fault(
                    "invalid_request", "The body must name the deployment in 'model'.", param="body.model"
                )
            return self._fault("invalid_request", "Model parameter is required.", param="body.model")
        if not bytes(body["model"]).startswith(b'"'):
            return self._fault("invalid_request", "The value of 'model' must be a string.", param="body.model")
        return self._fault("invalid_request", "The value of 'stream' must be false or absent.", param="body.stream")

    def _streaming(self) -> None:
        if self._azure:
            message = "Streaming is not supported in a batch; remove 'stream' or set it to false."
            self._fault("invalid_request", message, param="body.stream")
        else:
            message = "Chat Completions: Streaming is not supported in the Batch API."
            self._fault("streaming_unsupported", message, param="body.stream")

    def _missing(self, param: str, name: str) -> None:
        code = "invalid_request" if self._azure else "missing_required_parameter"
        self._fault(code, f"Missing required parameter: '{name}'.", param=param)

    def _fault(self, code: str, message: str, *, param: str | None = None) -> None:
        self._error_count += 1
        if len(self._errors) < self._rules.errors_max:
            self._errors.append(BatchError(code=code, message=message, param=param, line=self._number))


def _shown(text: str) -> str:
    """A value of the user's in a message: quoted, and shortened where it is long."""
    return f"'{text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + '...'}'"


NOT_JSON = "This line is not parseable as valid JSON."
NOT_OBJECT = "This line is not a JSON object with custom_id, method, url and body."
EMPTY = "The input file is empty. Please ensure that the batch contains at least one request."
BOM_MESSAGE = (
    "Validation failed: A valid model deployment name couldn't be extracted from the input file. Please ensure that each "
    "row in the input file has a valid deployment name specified in the 'model' field, and that the deployment name is "
    "consistent across all rows."
)
