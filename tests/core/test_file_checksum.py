"""The checksum of a whole, from those of its parts."""

from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st

from slackwater.core.files.checksum import joined


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_parts_make_the_whole(parts: list[bytes]) -> None:
    """Whatever the parts are, and empty ones too, nobody has to read them again."""
    checksum = 0
    for part in parts:
        checksum = joined(checksum, crc32(part), len(part))
    assert checksum == crc32(b"".join(parts))


def test_a_large_part() -> None:
    """Of more bytes than a step at a time would bear."""
    first, zeros = b"first", bytes(50 << 20)
    assert joined(crc32(first), crc32(zeros), len(zeros)) == crc32(zeros, crc32(first))
