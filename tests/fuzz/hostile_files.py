"""Makes input files that are hostile, nearly right, or right in an unusual way. The same seed and number make the same file.

A file begins as good requests of one endpoint. Then it is spoiled none to three times: in its values, in its text, or in its
bytes. So most files have a reason to be refused, and some of the most unusual ones must be accepted.
"""

import json
import random
from collections.abc import Callable
from typing import Any

from msgspec import Struct

ENDPOINTS = ("/chat/completions", "/completions", "/embeddings", "/responses", "/moderations")
FAMILIES = ("azure", "azure-v1", "openai")
MODELS = ("sees", "blind", "embeds")
# Values that a request has no use for, and those that some Python has no value for. Some are no JSON.
FRAGMENTS = (
    *("null", "true", "false", "0", "-1", "1e5", "[]", "{}", '""', '"x"', "[null]", "[[]]", '{"a": 1}', '{"type": []}'),
    *("1e999", "-1e-999", "9" * 400, "9" * 6000, "0." + "1" * 3000, "18446744073709551616"),
    *("NaN", "Infinity", "-Infinity", "01", "+1", "0x10", "'x'", "undefined", "1,", ".5", "1.", "--1"),
    *(r'"\ud800"', r'"\udc00\ud800"', r'"\ud83c\udf0a"', r'"\u0000"', r'"\q"', r'"\u12"', '"\t"', '"\x00"', '"\x7f"'),
    *('"' + "x" * 5000 + '"', '"\u2028\u2029"', '"\ufeff"', '"\U0010ffff"', '"\u202egnp.exe"', '"</script>"'),
)
# Around how many levels the parsers of some Python give up.
DEPTHS = (20, 100, 250, 400, 500, 600, 800, 1000, 3000, 10_000, 50_000)
KEYS = (
    *(
        "custom_id",
        "method",
        "url",
        "body",
        "model",
        "messages",
        "input",
        "prompt",
        "stream",
        "role",
        "content",
        "type",
    ),
    *("response_format", "json_schema", "name", "schema", "strict", "text", "format", "data_sources", "image_url"),
    *("tools", "output", "detail", "", "\x00", "__proto__", "x" * 3000, "\U0001f30a"),
)
TEXTS = (
    "Why is the sea salty?",
    "вода 🌊",
    "潮が満ちる",
    'She said "image_url".',
    "\\",
    "",
    " ",
    "\x00",
    "a\nb",
    "x" * 3000,
)
WRONG_BYTES = (
    *(b"\x00", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xc0\xaf", b"\xef\xbb\xbf", b"\x1b[2J"),
    *(b"\n", b"\r", b'"', b"\\", b"}", b"["),
)
WHOLE_LINES = (b"null", b"[]", b"{}", b'""', b"1", b"{" * 3000, b"[" * 100_000, b'"')
BLANKS = (b"", b"", b" ", b"\t", b"\r", b" \x0b\x0c ")


class HostileFile(Struct, frozen=True):
    """One file, and the batch that is made of it."""

    number: int
    data: bytes
    family: str
    endpoint: str


def hostile_file(seed: int, number: int) -> HostileFile:
    """The file of this number."""
    chance = random.Random(f"{seed}/{number}")
    endpoint = chance.choice(ENDPOINTS)
    prefix = chance.choice(("", "/v1", "/v1", "/openai/v1"))
    rows = [_row(chance, endpoint, prefix, place) for place in range(_length(chance))]
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3))):
        if rows and chance.random() < 0.6:
            place = chance.randrange(len(rows))
            rows[place] = chance.choice(ROW_SPOILERS)(chance, rows[place])
    texts = [row if isinstance(row, bytes) else _dump(chance, row) for row in rows]
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        if texts:
            place = chance.randrange(len(texts))
            texts[place] = chance.choice(TEXT_SPOILERS)(chance, texts[place])
    if chance.random() < 0.3:
        for _ in range(chance.randrange(1, 5)):
            texts.insert(chance.randrange(len(texts) + 1), chance.choice(BLANKS))
    end = chance.choice((b"\n", b"\n", b"\n", b"\r\n"))
    data = end.join(texts) + end * chance.randrange(2)
    if chance.random() < 0.15:
        data = chance.choice(FILE_SPOILERS)(chance, data)
    family = chance.choice(FAMILIES)
    # Azure's chat takes files of responses; a wrong endpoint now and then is for the checks of urls.
    asked = chance.choice(ENDPOINTS) if chance.random() < 0.1 else endpoint
    return HostileFile(number, data, family, prefix + asked if family == "openai" else "/v1" + asked)


def _length(chance: random.Random) -> int:
    """How many requests: mostly a few, sometimes more than errors are listed, or than a file may have."""
    return chance.choice((1, 1, 2, 3, 3, 5, 8, chance.randrange(20), chance.randrange(20), chance.randrange(300)))


def _row(chance: random.Random, endpoint: str, prefix: str, place: int) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "embeds" if endpoint == "/embeddings" else "sees"}
    text = chance.choice(TEXTS)
    if endpoint == "/chat/completions":
        body["messages"] = [{"role": "user", "content": chance.choice((text, [_part(chance, "text")]))}]
        if chance.random() < 0.2:
            body["response_format"] = _format(chance, nested=True)
    elif endpoint == "/responses":
        body["input"] = chance.choice((text or "x", [{"role": "user", "content": [_part(chance, "input_text")]}]))
        if chance.random() < 0.2:
            body["text"] = {"format": _format(chance, nested=False)}
    elif endpoint == "/completions":
        body["prompt"] = chance.choice((text or "x", [1, 2, 3]))
    else:
        body["input"] = chance.choice((text or "x", ["a", "b"], [1, 2], [[1], [2, 3]]))
    return {"custom_id": _identity(chance, place), "method": "POST", "url": prefix + endpoint, "body": body}


def _identity(chance: random.Random, place: int) -> str:
    if chance.random() < 0.9:
        return f"task-{place}"
    return chance.choice(("x" * 70_000, "вода", "\U0001f30a" * 30, "\x00", "../../etc", "a\nb", "%s", "\u202e")) + str(
        place
    )


def _part(chance: random.Random, kind: str) -> dict[str, Any]:
    if chance.random() < 0.8:
        return {"type": kind, "text": chance.choice(TEXTS)}
    if kind == "text":
        return {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * chance.randrange(40_000)}}
    return {"type": "input_image", "image_url": "https://example.com/a.png", "detail": "low"}


def _format(chance: random.Random, *, nested: bool) -> Any:
    schema = {"name": "x", "schema": {"type": "object"}, "strict": True}
    good = {"type": "json_schema", "json_schema": schema} if nested else {"type": "json_schema"} | schema
    return chance.choice(
        (good, good, {"type": "text"}, {"type": "regex"}, {"type": "json-schema"}, {"type": "json_schema"}, 5)
    )


def _dump(chance: random.Random, row: Any) -> bytes:
    separators = chance.choice(((",", ":"), (", ", ": "), (" ,\t", "  :\r")))
    return json.dumps(row, ensure_ascii=chance.random() < 0.5, separators=separators).encode()


# Spoilers of a row's values


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container in a value with every key or index in it."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    found = [(value, key) for key in keys]
    return found + [place for key in keys for place in _places(value[key])]


def _replace(chance: random.Random, row: Any) -> Any:
    """Puts something else in some place, which may be no JSON."""
    if isinstance(row, bytes):
        return row
    container, key = chance.choice(_places(row))
    container[key] = "@@@"
    return _dump(chance, row).replace(b'"@@@"', chance.choice(FRAGMENTS).encode(), 1)


def _remove(chance: random.Random, row: Any) -> Any:
    if isinstance(row, bytes):
        return row
    container, key = chance.choice(_places(row))
    del container[key]
    return row


def _repeat_key(chance: random.Random, row: Any) -> Any:
    """Says a key twice, or one that belongs elsewhere."""
    if isinstance(row, bytes):
        return row
    text = _dump(chance, row)
    opening = chance.choice([place for place, byte in enumerate(text) if byte == 0x7B])
    key, value = json.dumps(chance.choice(KEYS)).encode(), chance.choice(FRAGMENTS).encode()
    comma = b"" if text[opening + 1 :].lstrip()[:1] == b"}" else b","
    if chance.random() < 0.5 or not comma:
        return text[: opening + 1] + key + b":" + value + comma + text[opening + 1 :]
    return text[:-1] + b"," + key + b":" + value + b"}"


def _nest(chance: random.Random, row: Any) -> Any:
    """Nests some place as deeply as parsers can nearly follow, or deeper."""
    if isinstance(row, bytes):
        return row
    container, key = chance.choice(_places(row))
    container[key] = "@@@"
    levels = chance.choice(DEPTHS) + chance.randrange(-15, 15)
    left, right = chance.choice((("[", "]"), ('{"a":', "}"), ('[{"content":', "}]")))
    nest = left * levels + chance.choice(("1", '"x"', "[]")) + right * levels
    return _dump(chance, row).replace(b'"@@@"', nest.encode(), 1)


def _other(chance: random.Random, row: Any) -> Any:
    """Asks for something that is wrong, or wrong here, in a way that a rule looks for."""
    if isinstance(row, bytes) or not isinstance(row.get("body"), dict):
        return row
    body = row["body"]
    change: Callable[[], Any] = chance.choice(
        (
            lambda: body.update(model=chance.choice((*MODELS, "nobody", "Sees", "sees "))),
            lambda: body.update(stream=chance.choice((True, False, None, "true", 1))),
            lambda: body.update(data_sources=[]),
            lambda: row.update(method=chance.choice(("GET", "post", "POST ", ""))),
            lambda: row.update(url=chance.choice((*ENDPOINTS, "/v1/threads", "/assistants/a", "", "/", "//", "\x00"))),
            lambda: row.update(custom_id="task-0"),
            lambda: body.update(n=chance.random()),
        )
    )
    change()
    return row


ROW_SPOILERS: tuple[Callable[[random.Random, Any], Any], ...] = (
    *(_replace, _replace, _remove, _repeat_key, _nest, _other, _other),
)


# Spoilers of a line's text


def _cut(chance: random.Random, text: bytes) -> bytes:
    return text[: chance.randrange(len(text) + 1)]


def _insert(chance: random.Random, text: bytes) -> bytes:
    """Puts bytes that no line should have into some place."""
    place = chance.randrange(len(text) + 1)
    return text[:place] + chance.choice((*WRONG_BYTES, chance.choice(FRAGMENTS).encode())) + text[place:]


def _escape(chance: random.Random, text: bytes) -> bytes:
    """Writes a letter as its escape, wherever it occurs: most often the same JSON."""
    letter = chance.choice(b"aeimno_/")
    return text.replace(bytes([letter]), rf"\u{letter:04x}".encode())


def _whole(chance: random.Random, text: bytes) -> bytes:
    """Is something else altogether."""
    return chance.choice((*WHOLE_LINES, text + text, text + b" x", b"\x1f\x8b\x08" + text))


def _pad(chance: random.Random, text: bytes) -> bytes:
    return (
        chance.choice((b" ", b"\t", b"\r", b" " * 5000))
        + text
        + chance.choice((b"", b" ", b"\r", b"\x0c", b"\xc2\xa0"))
    )


TEXT_SPOILERS: tuple[Callable[[random.Random, bytes], bytes], ...] = (_cut, _insert, _insert, _escape, _whole, _pad)


# Spoilers of a file's bytes


def _encode_as(chance: random.Random, data: bytes) -> bytes:
    name = chance.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-8-sig", "latin-1", "utf-7"))
    return data.decode("utf-8", "replace").encode(name, "replace")


def _other_line_ends(chance: random.Random, data: bytes) -> bytes:
    return data.replace(b"\n", chance.choice((b"\r", b"\n\r", b"\x85", b"\xe2\x80\xa8", b"\x0b", b"", b" ", b",\n")))


def _flip(chance: random.Random, data: bytes) -> bytes:
    flipped = bytearray(data)
    for _ in range(chance.randrange(1, 6) if data else 0):
        flipped[chance.randrange(len(flipped))] ^= 1 << chance.randrange(8)
    return bytes(flipped)


def _mixed_encodings(chance: random.Random, data: bytes) -> bytes:
    return data + data.decode("utf-8", "replace").encode(chance.choice(("utf-16", "latin-1")), "replace")


def _random_bytes(chance: random.Random, data: bytes) -> bytes:
    return chance.randbytes(chance.choice((0, 1, 3, 100, 3000)))


def _repeated(chance: random.Random, data: bytes) -> bytes:
    return data * chance.randrange(2, 4)


FILE_SPOILERS: tuple[Callable[[random.Random, bytes], bytes], ...] = (
    *(_cut, _encode_as, _other_line_ends, _flip, _mixed_encodings, _random_bytes, _repeated),
    lambda chance, data: b"[" + data.replace(b"\n", b",\n") + b"]",
    lambda chance, data: b"\n" * chance.choice((1, 5000)) + data,
)
