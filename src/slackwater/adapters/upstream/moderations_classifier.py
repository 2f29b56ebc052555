"""The Classifiers that ask over HTTP: a server with OpenAI's `/moderations`, or a guard model behind `/chat/completions`.

Both go through any Backend, so that keys, time-outs and TLS are those of every other server that is asked. Errors name what
is wrong with the server, and never repeat what it was sent or answered.
"""

from collections.abc import Mapping

import msgspec
from msgspec import Struct

from slackwater.core.errors import BackendError, BackendUnreachable, ClassifierFailed
from slackwater.core.filtering.content_filter import Category, Severities, Severity, severity_of
from slackwater.core.sending.request import Reply
from slackwater.ports import Backend

# OpenAI's names, and the one of Azure's four that each belongs to. What only asks for something illicit is none of them.
MODERATED = {
    "hate": Category.HATE,
    "hate/threatening": Category.HATE,
    "harassment": Category.HATE,
    "harassment/threatening": Category.HATE,
    "self-harm": Category.SELF_HARM,
    "self-harm/intent": Category.SELF_HARM,
    "self-harm/instructions": Category.SELF_HARM,
    "sexual": Category.SEXUAL,
    "sexual/minors": Category.SEXUAL,
    "violence": Category.VIOLENCE,
    "violence/graphic": Category.VIOLENCE,
    "illicit/violent": Category.VIOLENCE,
}
# The hazards of MLCommons that Llama Guard answers with, as far as they are one of the four.
HAZARDS = {
    "S1": Category.VIOLENCE,
    "S3": Category.SEXUAL,
    "S4": Category.SEXUAL,
    "S9": Category.VIOLENCE,
    "S10": Category.HATE,
    "S11": Category.SELF_HARM,
    "S12": Category.SEXUAL,
}
# "unsafe" and a few codes.
GUARD_TOKENS_MAX = 64


class Bounds(Struct, frozen=True, kw_only=True):
    """Where each severity begins, for scores from 0 to 1."""

    low: float = 0.2
    medium: float = 0.5
    high: float = 0.8


class _Judgement(Struct):
    categories: dict[str, bool | None] = {}
    category_scores: dict[str, float | None] = {}


class _Judgements(Struct):
    results: list[_Judgement]


class _Message(Struct):
    content: str


class _Choice(Struct):
    message: _Message


class _Chat(Struct):
    choices: list[_Choice]


class ModerationsClassifier:
    """Any server with OpenAI's moderations. Judges a completion by itself, without its prompt."""

    def __init__(self, backend: Backend, *, model: str | None = None, bounds: Bounds | None = None) -> None:
        self._backend = backend
        self._model = model
        self._bounds = bounds or Bounds()

    async def classify(self, prompt: str, completion: str | None = None) -> Severities:
        """One call."""
        body = {"input": prompt if completion is None else completion}
        reply = await _sent(self._backend, "/moderations", body | ({"model": self._model} if self._model else {}))
        try:
            results = msgspec.json.decode(reply.body, type=_Judgements).results
        except (msgspec.DecodeError, UnicodeDecodeError):
            results = []
        if not any(result.categories or result.category_scores for result in results):
            raise ClassifierFailed("the classifier's answer has no categories; its url must lead to /moderations")
        found = dict.fromkeys(Category, Severity.SAFE)
        for result in results:
            for name, category in MODERATED.items():
                found[category] = max(found[category], self._severity(result, name))
        return found

    def _severity(self, result: _Judgement, name: str) -> Severity:
        bounds, score = self._bounds, result.category_scores.get(name)
        if score is None:
            return Severity.HIGH if result.categories.get(name) else Severity.SAFE
        severity = severity_of(score, low=bounds.low, medium=bounds.medium, high=bounds.high)
        # The model's own threshold counts, too: each category has one, and they are far apart.
        return max(severity, Severity.MEDIUM) if result.categories.get(name) else severity

    async def close(self) -> None:
        """Ends idle connections."""
        await self._backend.close()


class GuardClassifier:
    """A chat model that answers `safe`, or `unsafe` and the codes of hazards: Llama Guard and those made after it."""

    def __init__(self, backend: Backend, *, model: str, codes: Mapping[str, Category] | None = None) -> None:
        """`codes` are known besides those of Llama Guard. An unsafe text is of high severity: the model says no more."""
        self._backend = backend
        self._model = model
        self._codes = HAZARDS | dict(codes or {})

    async def classify(self, prompt: str, completion: str | None = None) -> Severities:
        """One call; the guard's own chat template asks about the last message."""
        messages = [{"role": "user", "content": prompt}]
        if completion is not None:
            messages.append({"role": "assistant", "content": completion})
        body = {"model": self._model, "messages": messages, "max_tokens": GUARD_TOKENS_MAX, "temperature": 0}
        reply = await _sent(self._backend, "/chat/completions", body)
        try:
            words = msgspec.json.decode(reply.body, type=_Chat).choices[0].message.content.replace(",", " ").split()
        except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
            words = []
        verdict, codes = (words[0].lower(), words[1:]) if words else ("", [])
        found = dict.fromkeys(Category, Severity.SAFE)
        if verdict == "safe":
            return found
        if verdict != "unsafe":
            raise ClassifierFailed("the guard model's answer is neither 'safe' nor 'unsafe'; is its model a guard?")
        # Unsafe without a reason is unsafe in every way. A hazard that is none of the four categories is none here.
        for category in [self._codes[code] for code in codes if code in self._codes] if codes else Category:
            found[category] = Severity.HIGH
        return found

    async def close(self) -> None:
        """Ends idle connections."""
        await self._backend.close()


async def _sent(backend: Backend, path: str, body: Mapping[str, object]) -> Reply:
    try:
        reply = await backend.send(path, msgspec.json.encode(body))
    except BackendError as error:
        raise ClassifierFailed(
            f"the classifier did not answer: {error}", busy=isinstance(error, BackendUnreachable)
        ) from error
    if 200 <= reply.status < 300:
        return reply
    busy = reply.status in (429, 502, 503, 504)
    raise ClassifierFailed(
        f"the classifier answered with status {reply.status}", busy=busy, retry_after=reply.retry_after
    )
