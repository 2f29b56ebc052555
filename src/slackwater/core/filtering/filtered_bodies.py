"""Where the texts are in a request and in an answer, and how findings are written into the answer (spec 8.3).

Values of an answer that are not touched keep their bytes. Images, videos, audio and the schemas of tools are not texts.
"""

import json
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from slackwater.core.endpoints import (
    CHAT,
    COMPLETIONS,
    EMBEDDINGS,
    IMAGE_EDITS,
    IMAGES,
    MESSAGES,
    RERANK,
    RESPONSES,
    SCORE,
    SPEECH,
    VIDEOS,
)
from slackwater.core.filtering.content_filter import Findings

# Where the texts of a request are whose answer has none: numbers, pictures, sound, or the texts of the request again.
ASKED = {
    EMBEDDINGS: ("input",),
    IMAGES: ("prompt", "negative_prompt"),
    IMAGE_EDITS: ("prompt", "negative_prompt"),
    VIDEOS: ("prompt", "negative_prompt"),
    SPEECH: ("input", "instructions"),
    RERANK: ("query", "documents", "instruction"),
    SCORE: ("text_1", "text_2", "queries", "documents", "query", "items", "data_1", "data_2", "instruction"),
}
WITHOUT_COMPLETIONS = frozenset(ASKED)
# Moderations are not here: whoever asks for a judgement of a text must be able to send it.
FILTERED = frozenset({CHAT, COMPLETIONS, RESPONSES, MESSAGES, *ASKED})

# Keys of messages, parts and items under which text lies, at any depth; everything else is passed over.
TEXT_KEYS = frozenset(
    {
        *("content", "text", "refusal", "reasoning_content", "reasoning", "thinking", "summary"),
        *("tool_calls", "function_call", "function", "custom", "arguments", "input", "output"),
    }
)

# Where the completions of an answer are, in all shapes that engines have.
COMPLETION_KEYS = frozenset({"choices", "output", "output_text", *TEXT_KEYS, "message"})

Texts = tuple[str, ...]

_decode = msgspec.json.Decoder().decode
_fields = msgspec.json.Decoder(dict[str, Raw]).decode
_objects = msgspec.json.Decoder(list[dict[str, Raw]]).decode
_encode = msgspec.json.Encoder().encode


def prompts_of(path: str, body: bytes) -> list[Texts] | None:
    """The texts of each prompt that a request has. None where there is something that cannot be read as text."""
    try:
        fields = _read(body)
    except ValueError:
        return None
    if path == CHAT:
        return [_texts(fields.get("messages"))]
    if path == RESPONSES:
        return [(*_texts(fields.get("instructions")), *_texts(fields.get("input")))]
    if path == MESSAGES:
        return [(*_texts(fields.get("system")), *_texts(fields.get("messages")))]
    names = ASKED.get(path, ("prompt",))
    prompt = fields.get(names[0])
    each = prompt if isinstance(prompt, list) else [prompt]
    if path in (COMPLETIONS, EMBEDDINGS) and not all(isinstance(text, str) for text in each):
        return None
    if path in WITHOUT_COMPLETIONS:
        if any(_has_token_ids(fields.get(name)) for name in names):
            return None
        # Nothing in such an answer could say which of them a finding is about.
        return [tuple(text for name in names for text in _texts(fields.get(name)))]
    return [(text, *_texts(fields.get("suffix"))) for text in each]


class Answer(Struct):
    """A backend's answer, open: `completions` are the texts of each, in their order."""

    path: str
    fields: dict[str, Raw]
    choices: list[dict[str, Raw]]
    completions: list[Texts]

    def annotated(self, prompts: Sequence[Findings], completions: Sequence[Findings]) -> bytes:
        """The answer with what was found, without the completions that must not pass. Either may be empty."""
        if self.path in (RESPONSES, MESSAGES):
            return self._annotated_response([*prompts], [*completions])
        fields = dict(self.fields)
        if prompts:
            fields["prompt_filter_results"] = _raw(_per_prompt(fields.get("prompt_filter_results"), prompts))
        if completions:
            pairs = zip(self.choices, completions, strict=True)
            fields["choices"] = _raw([self._annotated_choice(choice, found) for choice, found in pairs])
        return _encode(fields)

    def _annotated_choice(self, choice: dict[str, Raw], found: Findings) -> dict[str, Raw]:
        choice = dict(choice)
        choice["content_filter_results"] = _raw(_merged(choice.get("content_filter_results"), found.annotations))
        if found.filtered:
            choice["finish_reason"] = _raw("content_filter")
            # The whole message goes: tool calls, reasoning and log probabilities say the same as the content.
            if self.path == CHAT:
                choice["message"] = _raw({"role": "assistant", "content": ""})
            else:
                choice["text"] = _raw("")
            if "logprobs" in choice:
                choice["logprobs"] = _raw(None)
        return choice

    def _annotated_response(self, prompts: list[Findings], completions: list[Findings]) -> bytes:
        fields = dict(self.fields)
        try:
            filters = _objects(fields.get("content_filters", b"[]"))
        except msgspec.ValidationError:
            # Azure writes null where it has nothing to say.
            filters = []
        for source, each in (("prompt", prompts), ("completion", completions)):
            filters += [
                {
                    "blocked": _raw(found.filtered),
                    "source_type": _raw(source),
                    "content_filter_results": _raw(found.annotations),
                }
                for found in each
            ]
        fields["content_filters"] = _raw(filters)
        if any(found.filtered for found in completions) and self.path == MESSAGES:
            fields["content"] = _raw([])
            fields["stop_reason"] = _raw("refusal")
        elif any(found.filtered for found in completions):
            fields["output"] = _raw([])
            fields["status"] = _raw("incomplete")
            fields["incomplete_details"] = _raw({"reason": "content_filter"})
            if "output_text" in fields:
                fields["output_text"] = _raw("")
        return _encode(fields)


def answer_of(path: str, body: bytes) -> Answer | None:
    """The answer, open. None if its completions cannot be found, so that they could pass unseen."""
    try:
        fields = _fields(body)
        if path in (RESPONSES, MESSAGES):
            said = fields["output" if path == RESPONSES else "content"]
            return Answer(path, fields, [], [_texts(_read(said))])
        choices = _objects(fields["choices"])
        key = "message" if path == CHAT else "text"
        return Answer(path, fields, choices, [_texts(_read(choice[key])) for choice in choices])
    except (ValueError, KeyError, RecursionError):
        return None


def holds_completions(body: bytes) -> bool:
    """Whether there may be texts of a model in a body that is an error, such as a completion that broke off."""
    try:
        fields = _fields(body)
    except (ValueError, RecursionError):
        return True
    # An error's own `message` is a string; a model's is an object.
    said = {key for key, value in fields.items() if key != "message" or bytes(value)[:1] != b'"'}
    return not said.isdisjoint(COMPLETION_KEYS)


def _read(value: bytes | Raw) -> Any:
    """A JSON value. Raises ValueError, which does not repeat any of it."""
    try:
        return _decode(value)
    except (msgspec.DecodeError, RecursionError):
        pass
    try:
        # Half a surrogate pair is refused above, and taken by some engines.
        text = bytes(value).decode("utf-8")
        return _decode(json.dumps(json.loads(text), ensure_ascii=False).encode("utf-8", "replace"))
    except (ValueError, RecursionError):
        raise ValueError("this is not JSON in Unicode") from None


def _texts(value: Any) -> Texts:
    found: list[str] = []
    _collect(value, found)
    return tuple(found)


def _has_token_ids(value: Any) -> bool:
    """Whether there are numbers where texts are looked for."""
    if isinstance(value, list):
        return any(map(_has_token_ids, value))
    return isinstance(value, int)


def _collect(value: Any, found: list[str]) -> None:
    if isinstance(value, str):
        found.append(value)
    elif isinstance(value, list):
        for item in value:
            _collect(item, found)
    elif isinstance(value, dict):
        for key, inner in value.items():
            if key in TEXT_KEYS:
                _collect(inner, found)


def _merged(theirs: Raw | None, ours: dict[str, Any]) -> dict[str, Any]:
    """Upstream's annotations and ours: ours count, but what upstream has filtered stays filtered."""
    try:
        kept = {} if theirs is None else _read(theirs)
    except ValueError:
        kept = {}
    if not isinstance(kept, dict):
        kept = {}
    stays = {name for name, said in kept.items() if isinstance(said, dict) and said.get("filtered") is True}
    return kept | {name: said for name, said in ours.items() if name not in stays}


def _per_prompt(theirs: Raw | None, prompts: Sequence[Findings]) -> list[dict[str, Any]]:
    said: dict[int, Raw] = {}
    try:
        for entry in _objects(theirs) if theirs is not None else []:
            said[msgspec.json.decode(entry["prompt_index"], type=int)] = entry["content_filter_results"]
    except (msgspec.MsgspecError, KeyError):
        # Not Azure's shape: nothing that a client could read.
        said = {}
    return [
        {"prompt_index": index, "content_filter_results": _merged(said.get(index), found.annotations)}
        for index, found in enumerate(prompts)
    ]


def _raw(value: Any) -> Raw:
    return Raw(_encode(value))
