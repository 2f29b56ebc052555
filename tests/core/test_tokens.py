"""What counts as a token, how a sample is drawn, and how near its estimate comes to the exact count."""

import json
import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.adapters.work.tiktoken_counter import TiktokenCounter, _encoder
from slackwater.core.input.tokens import (
    HELD_BYTES_MAX,
    IMAGE_TOKENS,
    LOW_IMAGE_TOKENS,
    MESSAGE_TOKENS,
    SAMPLE_LINES,
    TokenCounter,
    TokenSample,
    base64_bytes,
    shares,
)

ENCODINGS = ["o200k_base", "cl100k_base"]
# Short words, long words, code, digits, and scripts with one to four bytes a letter.
VOCABULARY = (
    *("the", "of", "and", "tide", "calm", "between", "harbour", "current", "rises", "evening", "internationalization"),
    *("def", "__init__(self):", "return", "{'key':", "[1,", "2,", "3]}\n\n", "    ", "for", "range(10):\n\t\tpass"),
    *("1234567", "3.14159", "https://example.org/a?b=c", ";\n\n", ");\n\t}"),
    *("прилив", "вода", "гавань", "潮が満ちる", "停潮之间", "조수가", "המים", "मुहाना", "θάλασσα", "đồng", "🌊🌊"),
)


class WordCounter:
    """A counter whose answer can be known without counting: words."""

    def count(self, texts: Sequence[str]) -> list[int]:
        return [len(text.split()) for text in texts]


def line(**body: object) -> bytes:
    """A request line with this body."""
    return json.dumps({"custom_id": "a", "method": "POST", "url": "/x", "body": body}).encode()


def weigh(lines: Sequence[bytes], counter: TokenCounter | None) -> int:
    """The tokens of a file of these lines."""
    sample = TokenSample()
    for text in lines:
        sample.offer(text)
    return sample.tokens(counter)


IMAGE = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A b" * 5000}}
LOW_IMAGE = {"type": "image_url", "image_url": {"url": "x y", "detail": "low"}}


@pytest.mark.parametrize(
    ("body", "tokens"),
    [
        ({"messages": [{"role": "user", "content": "a b c"}]}, 3 + MESSAGE_TOKENS),
        ({"messages": [{"role": "user", "content": [{"type": "text", "text": "a b"}]}]}, 2 + MESSAGE_TOKENS),
        ({"messages": [{"role": "user", "content": [IMAGE]}]}, IMAGE_TOKENS + MESSAGE_TOKENS),
        ({"messages": [{"role": "assistant", "content": None, "refusal": "a b"}]}, 2 + MESSAGE_TOKENS),
        ({"messages": [{"role": "user", "content": "a"}], "tools": [{"description": "b c"}]}, 3 + MESSAGE_TOKENS),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "x y"}]}]}, 4 + IMAGE_TOKENS),
        (
            {"messages": [{"role": "user", "content": [LOW_IMAGE, IMAGE]}]},
            LOW_IMAGE_TOKENS + IMAGE_TOKENS + MESSAGE_TOKENS,
        ),
        ({"messages": [{"content": [{"type": "image_url", "image_url": "x y"}, {"image_url": {}}]}]}, 2 * IMAGE_TOKENS),
        ({"input": [{"type": "input_image", "image_url": "x y", "detail": "low"}]}, LOW_IMAGE_TOKENS),
        ({"input": [{"type": "input_image", "file_id": "x y", "detail": "auto"}]}, IMAGE_TOKENS),
        ({"input": [{"type": "computer_call_output", "output": {"image_url": "x y"}}]}, IMAGE_TOKENS),
        ({"input": [{"type": "text", "text": "a image_url", "image_url": None}, {"type": [], "text": "b"}]}, 3),
        ({"input": "a b", "instructions": "c d e"}, 5),
        ({"input": ["a b", "c"]}, 3),
        ({"input": [[1, 2, 3], [4, 5]]}, 5),
        ({"prompt": [7, 8, 9]}, 3),
        ({"prompt": "a b c", "max_tokens": 500, "user": "d e f"}, 3),
    ],
)
def test_what_counts(body: dict[str, object], tokens: int) -> None:
    """Text of messages, prompts, inputs and tools counts, token ids count each, images weigh the same, syntax is free."""
    assert weigh([line(**body)], WordCounter()) == tokens


@pytest.mark.parametrize("value", ["1e999", "9" * 5000, "[" * 800 + "]" * 800], ids=["float", "integer", "depth"])
@pytest.mark.parametrize("counter", [None, WordCounter()])
def test_what_python_cannot_read_weighs_something(value: str, counter: TokenCounter | None) -> None:
    """Numbers without bounds and nesting without end are JSON, and may be an engine's business: the line counts as text."""
    text = line(messages=[{"role": "user", "content": "@"}]).replace(b'"@"', value.encode())
    assert weigh([text], counter) > 0


def test_escapes_weigh_what_they_mean() -> None:
    """A text weighs the same however JSON spells it."""
    counter = TiktokenCounter("o200k_base")
    body = {"custom_id": "a", "body": {"input": "вода 🌊 и прилив" * 20}}
    assert weigh([json.dumps(body).encode()], counter) == weigh(
        [json.dumps(body, ensure_ascii=False).encode()], counter
    )


def test_a_file_weighs_at_least_one_token() -> None:
    """However little there is to count, an accepted file weighs something."""
    assert weigh([line(input="")], WordCounter()) == 1
    assert weigh([b"{}"], None) == 1


def test_small_files_are_counted_exactly() -> None:
    """Where every line fits the sample there is nothing to estimate."""
    lines = [line(input="a " * number) for number in range(SAMPLE_LINES)]
    assert weigh(lines, WordCounter()) == sum(range(SAMPLE_LINES))


@pytest.mark.parametrize("period", [2, 7, 89, 100, 144, 233, 1000])
def test_no_rhythm_hides_from_the_sample(period: int) -> None:
    """Every n-th line being other than the rest moves the estimate no more than chance does."""
    heavy, light = line(input="a " * 60), line(input="a" * 120)
    lines = [heavy if number % period == 0 else light for number in range(40_000)]
    share = 1 / period
    deviation = 60 * (share * (1 - share) / SAMPLE_LINES) ** 0.5
    mean = weigh(lines, WordCounter()) / len(lines)
    assert abs(mean - (60 * share + 1 - share)) < 4 * deviation


@pytest.mark.parametrize("at_once", [1, 7, 5_000])
def test_lines_may_be_shown_in_any_groups(at_once: int) -> None:
    """The sample of a file is the same, however its lines come."""
    chance = random.Random(at_once)
    lines = [line(input="tide " * chance.choice([1, 30, 200, 8_000])) for _ in range(6_000)]
    sample = TokenSample()
    for start in range(0, len(lines), at_once):
        sample.offer_all(lines[start : start + at_once])
    assert sample.tokens(WordCounter()) == weigh(lines, WordCounter())
    assert sample.by_bytes() == weigh(lines, None)


def test_long_lines_are_held_as_excerpts() -> None:
    """A sample holds a bounded number of bytes, and long lines are weighed by a part of them."""
    sample = TokenSample()
    for _ in range(300):
        sample.offer(line(input="tide " * 20_000))
        assert sample._held_bytes <= HELD_BYTES_MAX
    assert sample.tokens(WordCounter()) == pytest.approx(300 * 20_000, rel=0.01)


def test_the_order_of_lines_hides_nothing() -> None:
    """A file that begins unlike the rest of it is weighed as a whole, not by its beginning."""
    lines = [line(input="a" * 120)] * 5_000 + [line(input="a " * 60)] * 15_000
    assert weigh(lines, WordCounter()) == pytest.approx(5_000 + 15_000 * 60, rel=0.08)


def test_the_size_of_images_changes_nothing() -> None:
    """Base64 is no text: a file weighs the same however large its images are, and about the exact count."""
    weights = []
    for size in (20_000, 40_000):
        chance = random.Random(5)
        sample, exact = TokenSample(), 0
        for _ in range(1500):
            words = chance.randrange(50, 400)
            parts: list[dict[str, object]] = [{"type": "text", "text": "a " * words}]
            exact += words + MESSAGE_TOKENS
            if chance.random() < 0.5:
                parts.append({"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * size}})
                exact += IMAGE_TOKENS
            sample.offer(line(messages=[{"role": "user", "content": parts}]))
        weights.append(sample.tokens(WordCounter()))
        assert weights[-1] == pytest.approx(exact, rel=0.1)
    assert weights[0] == weights[1]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (b"", 0),
        (b'{"a": "base64,b"}', 0),
        (b'"data:image/png;base64,AAAA"', 12),
        (b'"data:x;base64,AAAA" "data:y;base64,BB"', 22),
        (b'"data:x;base64,AAAA', 0),
    ],
)
def test_base64_in_data_urls(text: bytes, found: int) -> None:
    """The bytes of data URLs behind their type, up to the end of the string."""
    assert base64_bytes(text) == found


# No deadlines: that a shared machine is slow is no failure.
@given(st.integers(0, 10**9), st.lists(st.integers(1, 10**6), min_size=1, max_size=50))
def test_shares_add_up(tokens: int, lengths: list[int]) -> None:
    """The shards' tokens are the file's, and each shard's share is that of its bytes, rounded."""
    parts = list(shares(tokens, lengths))
    assert sum(parts) == tokens
    for part, length in zip(parts, lengths, strict=True):
        assert abs(part - tokens * length / sum(lengths)) <= 1


def corpus(seed: int, lines: int) -> tuple[list[bytes], list[str]]:
    """Lines of log-normal size, each of a style of its own, so that bytes per token differ between them."""
    chance = random.Random(seed)
    texts = []
    for _ in range(lines):
        style = chance.choices(VOCABULARY, k=chance.randrange(2, 8))
        texts.append(" ".join(chance.choices(style, k=max(3, int(chance.lognormvariate(4, 0.8))))))
    return [line(messages=[{"role": "user", "content": text}]) for text in texts], texts


def test_estimates_are_near_the_exact_count() -> None:
    """With far more lines than a sample has, 19 of 20 estimates are within 6 % on lines as unlike as these.

    The sample is drawn by place, so other orders of the same lines are other samples.
    """
    lines, texts = corpus(1, 6000)
    counter = TiktokenCounter("o200k_base")
    exact = sum(counter.count(texts)) + MESSAGE_TOKENS * len(texts)
    errors = []
    for seed in range(20):
        random.Random(seed).shuffle(lines)
        errors.append(abs(weigh(lines, counter) / exact - 1))
    assert sorted(errors)[-2] < 0.06
    assert max(errors) > 0, "estimates, not counts"


@pytest.fixture(
    scope="module",
    params=[pytest.param(each, marks=[] if each == ENCODINGS[1] else pytest.mark.long) for each in ENCODINGS],
)
def whole(request: pytest.FixtureRequest) -> tuple[str, object]:
    """An encoding's name and its encoder with the whole vocabulary."""

    class Everything(set[bytes]):
        def __contains__(self, gram: object) -> bool:
            return True

    return request.param, _encoder(request.param, Everything())


@given(
    st.lists(
        st.one_of(
            st.lists(
                st.sampled_from([*VOCABULARY, " ", "  ", "\n", "\t", "\r\n", "\u00a0", "\u3000", "\x0b", "\x1c"])
            ).map("".join),
            st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
        ),
        max_size=5,
    )
)
def test_leaving_tokens_out_changes_no_count(whole: tuple[str, object], texts: list[str]) -> None:
    """The encoder with only those tokens that can occur counts like the one that has all."""
    encoding, encoder = whole
    counts = [len(encoder.encode_ordinary(text)) for text in texts]  # type: ignore[attr-defined]
    assert TiktokenCounter(encoding).count(texts) == counts


@pytest.mark.parametrize(
    ("encoding", "tokens", "last"), [("o200k_base", 199_998, 199_997), ("cl100k_base", 100_256, 100_255)]
)
def test_the_vocabulary_is_whole(encoding: str, tokens: int, last: int) -> None:
    """Nothing was lost in packing: as many tokens as the originals have, and known texts have their known tokens."""

    class Everything(set[bytes]):
        def __contains__(self, gram: object) -> bool:
            return True

    encoder = _encoder(encoding, Everything())
    assert len(encoder.token_byte_values()) == tokens
    assert encoder.decode_single_token_bytes(last)
    # From tiktoken's own tests and documentation.
    known = {"cl100k_base": [15339, 1917], "o200k_base": [24912, 2375]}
    assert encoder.encode_ordinary("hello world") == known[encoding]


def test_special_tokens_are_text() -> None:
    """A user who writes a special token has written so many characters, no more."""
    assert TiktokenCounter("o200k_base").count(["<|endoftext|>"])[0] > 1


def test_lone_surrogates_do_not_raise() -> None:
    """Text that is no Unicode still has a length."""
    assert TiktokenCounter("o200k_base").count(["a\ud800b", ""])[1] == 0


def test_unknown_encodings_are_refused() -> None:
    """Only what is shipped can count."""
    with pytest.raises(ValueError, match="there is no encoding 'p50k_base'"):
        TiktokenCounter("p50k_base")
