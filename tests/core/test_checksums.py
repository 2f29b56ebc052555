"""Checksums of lines: what is intact, and which lines are found again among what is there now."""

import json
import random
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.sending.checksums import checksum_of, custom_id_in, found_again, intact, lines_of, packed, unpacked
from slackwater.core.sending.rereading import GAP_MAX, TRIES_DAMAGED, TRIES_REFUSED, Rereading

LINES = [b'{"custom_id": "%d", "body": {"text": "some words"}}\n' % number for number in range(20)]
SUMS = packed([checksum_of(line) for line in LINES])


def test_the_end_of_a_line_counts_once() -> None:
    """The last line of a file may come without its end; blank lines are none."""
    assert checksum_of(b"abc\n") == checksum_of(b"abc") != checksum_of(b"abc\r\n")
    assert intact(b"".join(LINES), SUMS)
    assert intact(b"\n \r\n" + b"\n".join(LINES).rstrip(b"\n"), SUMS)
    assert not intact(b"".join(LINES[:-1]), SUMS)
    assert not intact(b"".join(LINES) + b"x", SUMS)
    assert intact(b"", b"")


@given(st.binary(max_size=4096))
def test_they_are_those_of_older_versions(line: bytes) -> None:
    """What a row of the ledger holds was made by the standard library once: the faster one gives the same."""
    line = line.replace(b"\n", b"")
    assert checksum_of(line) == zlib.crc32(line + b"\n")


@given(st.integers(min_value=0), st.integers(min_value=0, max_value=7))
def test_no_bit_changes_unseen(place: int, bit: int) -> None:
    """Whichever it is, outside of line breaks that only make blank lines."""
    data = bytearray(b"".join(LINES))
    data[place % len(data)] ^= 1 << bit
    assert not intact(bytes(data), SUMS)


@given(st.lists(st.integers(0, 2**32 - 1)))
def test_they_are_kept_as_they_are(sums: list[int]) -> None:
    """Four bytes each, the same on every machine."""
    assert list(unpacked(packed(sums))) == sums
    assert packed([1, 256]) == b"\x01\x00\x00\x00\x00\x01\x00\x00"


@pytest.mark.parametrize("seed", range(50))
def test_lines_are_found_again(seed: int) -> None:
    """Whatever was put in, taken out, changed or moved: each line that is there is found, and no other is taken for it."""
    chance = random.Random(seed)
    there = list(LINES)
    for _ in range(chance.randint(0, 6)):
        at = chance.randrange(len(there))
        what = chance.choice(("put in", "taken out", "changed", "moved", "split"))
        if what == "put in":
            there.insert(at, b"junk %d\n" % chance.randrange(9))
        elif what == "taken out":
            del there[at]
        elif what == "changed":
            there[at] = there[at].replace(b"words", b"swords")
        elif what == "moved":
            there.insert(chance.randrange(len(there)), there.pop(at))
        else:
            there[at : at + 1] = [there[at][:9] + b"\n", there[at][9:]]
    now = lines_of(b"".join(there))
    found = found_again([checksum_of(line) for line in now], SUMS)
    for line, number in zip(LINES, found, strict=True):
        assert (number is not None) == (line in now)
        assert number is None or now[number] == line


def test_lines_that_are_the_same_are_told_apart_by_their_order() -> None:
    """Each is found once."""
    sums = packed([checksum_of(b"a"), checksum_of(b"b"), checksum_of(b"a")])
    assert found_again([checksum_of(each) for each in (b"a", b"b", b"a", b"a")], sums) == [0, 1, 2]
    assert found_again([checksum_of(b"a")], sums) == [0, None, None]


@pytest.mark.parametrize("name", ["plain", "", 'with "quotes"', "back\\slash\\", "ümläut", "a" * 500, '"' * 9])
@pytest.mark.parametrize("ascii", [True, False])
def test_what_is_left_of_an_id(name: str, ascii: bool) -> None:
    """Whatever comes behind it, and however it is written."""
    line = json.dumps({"custom_id": name, "method": "POST"}, ensure_ascii=ascii).encode()
    assert custom_id_in(line) == name
    assert custom_id_in(line[:-9] + b"\xff\x00") == name
    assert custom_id_in(line.replace(b": ", b":")) == name


@given(st.binary(max_size=200))
def test_anything_may_be_left(text: bytes) -> None:
    """Of bytes of any kind there is an id or none, and never an error."""
    assert isinstance(custom_id_in(text), str)
    assert isinstance(custom_id_in(b'"custom_id":' + text), str)
    assert isinstance(custom_id_in(b'"custom_id":"' + text), str)


def test_gaps_grow_and_end() -> None:
    """Some 15 seconds where bytes are wrong, six minutes where the disk refuses; and never again, once they are spent."""
    for damaged, tries, seconds in ((True, TRIES_DAMAGED, 15), (False, TRIES_REFUSED, 363)):
        reading, now, gaps = Rereading(), 100.0, []
        while not reading.failed(damaged=damaged, now=now):
            assert not reading.spent
            gaps.append(reading.until - now)
            now = reading.until
        assert (reading.tries, now - 100.0) == (tries, seconds)
        assert gaps == sorted(gaps)
        assert max(gaps) <= GAP_MAX
        assert reading.spent
        assert reading.failed(damaged=damaged, now=now)
        assert reading.until == now
