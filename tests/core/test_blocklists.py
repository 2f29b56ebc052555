"""Blocklists: what counts as the same word, where a word ends, and that no way of writing hides one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from slackwater.core.filtering.blocklists import Blocklists, fold, searcher
from slackwater.core.filtering.content_filter import Blocklist

TERMS = ("Bluefin", "straße", "日本", "ปลา", "new york", "کتاب", "कल", "c++", "바다", "café")


def tripped(*texts: str, terms: tuple[str, ...] = TERMS, patterns: tuple[str, ...] = ()) -> bool:
    """Whether a list with these is tripped."""
    return bool(Blocklists([Blocklist(name="a", terms=terms, patterns=patterns)]).tripped(texts))


@pytest.mark.parametrize(
    "text",
    [
        "bluefin",
        "a BLUEFIN!",
        "ｂｌｕｅｆｉｎ",
        "blue\u200bfin",
        "blue\u00adfin, twice",
        "x_bluefin_y",
        "STRASSE",
        "東日本海",
        "กินปลาสด",
        "New\n\t York",
        "این کتاب است",
        "कल है",
        "we use C++.",
        "바다에서",
        "\ufeffbluefin",
        "new \u200b york",
        "Cafe\u200b\u0301",
    ],
)
def test_found(text: str) -> None:
    """Case, width, invisible characters and white space do not matter; scripts without spaces have terms anywhere."""
    assert tripped(text)


@pytest.mark.parametrize(
    "text", ["", "bluefins", "notbluefin", "bluefin2", "new yorker", "newyork", "कला", "blue fin", "bluefin\u0301"]
)
def test_not_found(text: str) -> None:
    """Where a script has spaces, a term is a whole word, marks and digits included."""
    assert not tripped(text)


def test_a_term_hidden_in_another_is_seen() -> None:
    """A match that is no whole word does not hide one that overlaps it."""
    assert tripped("old york town", terms=("york to", "york"))
    assert tripped("in new york times", terms=("new york", "york times square"))


def test_texts_are_apart() -> None:
    """No term reaches from one message into the next; each message is looked at."""
    assert not tripped("new", "york")
    assert tripped("old", "new york")


def test_each_list_is_named_once_in_order() -> None:
    """Lists share a term, and each is named; a pattern counts like a term."""
    lists = Blocklists(
        [
            Blocklist(name="a", terms=("tuna",), patterns=(r"(?i)\bcode-\d{4}\b",)),
            Blocklist(name="b", terms=("Tuna", "eel")),
            Blocklist(name="c", patterns=("never",)),
        ]
    )
    assert [each.name for each in lists.tripped(["a tuna", "TUNA and eel"])] == ["a", "b"]
    assert [each.name for each in lists.tripped(["Code-１２３４"])] == ["a"]


def test_patterns_are_linear() -> None:
    """What makes other engines run for ever is over at once, and what needs such an engine is refused."""
    assert not searcher("(a+)+b")("a" * 200_000)
    for pattern in (r"(a)\1", "(?=a)", "(a"):
        with pytest.raises(ValueError, match=r"\w"):
            searcher(pattern)


def test_many_terms() -> None:
    """Above the size of the fast table, the same is found."""
    terms = tuple(f"term-{number}" for number in range(12_000))
    assert tripped("see Term-11999.", terms=terms)
    assert not tripped("see term-12000.", terms=terms)


LETTERS = st.text("abß日\u0301 \n\u200b.ＡÉ", max_size=8)


@given(terms=st.lists(LETTERS, max_size=4), text=st.text("abß日\u0301 \n\u200b.ＡÉ", max_size=30))
@example(terms=["a"], text="\u200ba")
def test_the_same_as_a_plain_search(terms: list[str], text: str) -> None:
    """The automaton finds what looking at every place finds."""
    folded = fold(text)

    def of_a_word(place: int) -> bool:
        return (folded[place].isalpha() and folded[place] != "日") or folded[place] == "\u0301"

    def at(word: str, place: int) -> bool:
        end = place + len(word)
        if not folded.startswith(word, place):
            return False
        begins = place == 0 or not (of_a_word(place - 1) and of_a_word(place))
        ends = end == len(folded) or not (of_a_word(end - 1) and of_a_word(end))
        return begins and ends

    words = [word for word in (fold(term).strip() for term in terms) if word]
    expected = any(at(word, place) for word in words for place in range(len(folded)))
    assert tripped(text, terms=tuple(terms)) is expected


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_any_text_can_be_a_term(text: str) -> None:
    """Whatever is written, a list with it is tripped by it, unless there is nothing to be seen in it."""
    assert tripped(text, terms=(text,)) is bool(fold(text).strip())
