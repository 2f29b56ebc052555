"""The counter of short texts says what the encoder says, of any text; what it does not take on, it says so."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiktoken._tiktoken import CoreBPE

from slackwater.adapters.work.quick_counter import STEPS_AT_ONCE, QuickCounter
from slackwater.adapters.work.tiktoken_counter import _encoder
from slackwater.core.input.tokens import TooManyWords
from tests.chosen import examples

ENCODINGS = ["o200k_base", "cl100k_base"]
# What the patterns tell apart, and what Python and tiktoken may see differently.
PIECES = (
    *("'s", "'S", "'ll", "'Re", "'", " ", "\n", "\r\n", "  ", "\n\n ", "\t", "\x0b", "\x1c", "\x85", "\xa0", "\u2028"),
    *(
        "a",
        "B",
        "The",
        " the",
        "don't",
        "iPhone",
        "12",
        "1234567",
        "/",
        "//\n",
        "!?",
        " {",
        "é",
        "É",
        "ǅ",
        "ʰ",
        "ª",
        "ß",
    ),
    *(
        "中文",
        "́",
        "१२",
        "²",
        "½",
        "прилив",
        "मुहाना",
        "المد",
        "🌊",
        "👩‍👩‍👧",
        "\ud800",
        "ſ",
        "K",
        "\ue005",
        "\u0378",
        "\x00",
    ),
    *("internationalization", "xqzv", "0x1F", "https://example.org/a?b=c", "_" * 70),
)


class Every(set[bytes]):
    """Has everything: for an encoder that leaves nothing out."""

    def __contains__(self, gram: object) -> bool:
        return True


@cache
def both(encoding: str) -> tuple[QuickCounter, CoreBPE]:
    """The counter, and the encoder that it must agree with."""
    quick = QuickCounter(encoding)
    quick.open()
    return quick, _encoder(encoding, Every())


def counted(quick: QuickCounter, texts: list[str]) -> list[int] | None:
    """What it says; None where it says that it does not."""
    try:
        return [count for count in quick.counting(texts) if count is not None]
    except TooManyWords:
        return None


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(texts=st.lists(st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=15).map("".join), max_size=5))
@settings(max_examples=examples(150), deadline=None)
def test_it_counts_as_the_encoder_does(encoding: str, texts: list[str]) -> None:
    """Over any text, but for characters that are left to the encoder because they are not the same to both."""
    quick, encoder = both(encoding)
    found = counted(quick, texts)
    if found is None:
        assert not "".join(texts).isascii()
    else:
        clean = [text.encode("utf-8", "replace").decode() for text in texts]
        assert found == [len(encoder.encode_ordinary(text)) for text in clean]


def test_it_lets_others_have_a_turn_and_gives_up() -> None:
    """Many different words are looked up a few at a time; too many are somebody else's, and so is one without an end."""
    quick, _ = both("o200k_base")
    words = " ".join(f"{number:x}z" for number in range(STEPS_AT_ONCE))
    assert None in list(quick.counting([words]))
    many = ("abcdefgh"[number % 8] * (number % 90) + "xz" * (number // 90) for number in range(3000))
    assert counted(quick, [" ".join(many)]) is None
    assert counted(quick, ["ab" * 300]) is None
