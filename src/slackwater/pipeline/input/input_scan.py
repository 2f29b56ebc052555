"""Reads an input file once, from the first byte to the last: checks each line, cuts shards, and weighs the whole.

Runs as one call in an Offload, because it keeps a core busy: well under a second for 200 MB. Memory is the ids seen so far,
a bounded sample, and a line or two; then, with the ids gone, the tokenizer.
"""

import math
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BufferedReader
from itertools import accumulate, groupby

from msgspec import Struct
from zlib_ng.zlib_ng import crc32

from slackwater.core.batch import BatchError
from slackwater.core.files.file import File
from slackwater.core.input.line_judge import Rules
from slackwater.core.input.tokens import TokenCounter, TokenSample, shares
from slackwater.core.input.validation import InputChecker, Verdict
from slackwater.core.sending.checksums import checksum_of, packed
from slackwater.core.sending.scheduling import SHARD_BYTES_MAX
from slackwater.ports import BlobStore, NewShard

SHARD_LINES_MAX = 1000
# After so many blank lines, all that come behind them are passed over at once.
BLANKS_MAX = 64
# No request is as short as this, and so far it is looked whether blank lines come.
REQUEST_BYTES = 32
LOOKED_AT = 1024
# How deeply a line may be nested is what the parser can follow, and that depends on how deep the stack is already. A line
# that is accepted here will be parsed again wherever it goes, so there must be levels to spare that nobody else has.
#
# Some 140, because CPython keeps frames in chunks of 16 KiB: with 100, the reading stood at the end of the first chunk, and
# every call from there asked the kernel for another one and gave it back, 12 us a line. This is well inside the second.
SPARE_LEVELS = 140


class Scan(Struct, frozen=True, kw_only=True):
    """Either errors, or everything that the batch needs to start. `endpoint` has no version prefix."""

    errors: list[BatchError]
    error_count: int
    total: int
    tokens: int
    deployment: str | None
    endpoint: str
    shards: list[NewShard]
    size: int
    """Bytes that were read."""
    checksum: int
    """CRC-32 of all of them."""

    def is_of(self, file: File) -> bool:
        """Whether these were the bytes of the file."""
        return self.size == file.size and file.checksum in (None, self.checksum)


class ShardCutter:
    """Cuts requests into runs of bounded lines and bytes; a longer line is a run of its own.

    A run begins and ends with a request. Blank lines lie inside runs or between them, and count only as bytes.
    """

    def __init__(self, lines_max: int, bytes_max: int) -> None:
        self._lines_max = lines_max
        self._bytes_max = bytes_max
        self._start = self._end = self._lines = 0
        self.cuts: list[tuple[int, int, int]] = []
        """Offset, bytes and requests of each run."""
        self.checksums: list[bytes] = []
        """Those of the requests of each run."""
        self._checksums: list[int] = []

    def add(self, start: int, ends: Sequence[int], checksums: Sequence[int]) -> None:
        """Adds requests that follow each other: the first begins at that byte of the file, each ends where the next begins."""
        done = 0
        while done < len(ends):
            if not self._lines:
                self._start = start
            most = min(len(ends), done + self._lines_max - self._lines)
            fits = bisect_right(ends, self._start + self._bytes_max, done, most)
            if not self._lines:
                fits = max(fits, done + 1)
            if fits == done:
                self.finish()
                continue
            self._checksums.extend(checksums[done:fits])
            self._lines += fits - done
            self._end = start = ends[fits - 1]
            done = fits

    def finish(self) -> None:
        """Ends the run, if there is one."""
        if self._lines:
            self.cuts.append((self._start, self._end - self._start, self._lines))
            self._lines = 0
            self.checksums.append(packed(self._checksums))
            self._checksums.clear()


class Scanning:
    """A file that is being read, line by line, from its first byte on."""

    def __init__(self, rules: Rules, shard_lines_max: int, shard_bytes_max: int) -> None:
        self.sample = TokenSample()
        self._checker: InputChecker | None = InputChecker(rules)
        self._cutter = ShardCutter(shard_lines_max, shard_bytes_max)
        self._verdict: Verdict | None = None
        self.size = 0
        """Bytes that have been read."""
        self.checksum = 0
        """CRC-32 of all of them."""

    def feed(self, lines: Sequence[bytes]) -> None:
        """Takes the next lines. Those that are none of white space are taken at once, and nearly all are like that."""
        if any(map(bytes.isspace, lines)):
            for blank, run in groupby(lines, bytes.isspace):
                some = list(run)
                self.pass_over(b"".join(some)) if blank else self._take(some)
        elif lines:
            self._take(lines)

    def _take(self, lines: Sequence[bytes]) -> None:
        checker = self._checker
        assert checker is not None, "it has not been finished"
        checker.feed_all(lines)
        if checker.faultless:
            self.sample.offer_all(lines)
        checksums = [*map(crc32, lines)]
        if not lines[-1].endswith(b"\n"):
            checksums[-1] = checksum_of(lines[-1])
        ends = [*accumulate(map(len, lines), initial=self.size)]
        self._cutter.add(self.size, ends[1:], checksums)
        self.size = ends[-1]
        self.checksum = crc32(b"".join(lines), self.checksum)

    def pass_over(self, blank: bytes) -> None:
        """Takes blank lines, any number of them."""
        assert self._checker is not None, "it has not been finished"
        self.size += len(blank)
        self.checksum = crc32(blank, self.checksum)
        self._checker.pass_over(blank.count(b"\n"))

    def finish(self) -> Verdict:
        """What holds for the file as a whole. The ids are not needed any more, and the tokenizer needs the room."""
        assert self._checker is not None, "it is finished once"
        self._cutter.finish()
        self._verdict, self._checker = self._checker.finish(), None
        return self._verdict

    def scan(self, tokens: int) -> Scan:
        """The outcome, where the file weighs so many tokens."""
        verdict, cutter = self._verdict, self._cutter
        assert verdict is not None, "it has been finished"
        cuts = [] if verdict.errors else cutter.cuts
        weights = shares(tokens, [length for _, length, _ in cuts])
        return Scan(
            errors=verdict.errors,
            error_count=verdict.error_count,
            total=verdict.total,
            tokens=tokens,
            deployment=verdict.deployment,
            endpoint=verdict.endpoint,
            size=self.size,
            checksum=self.checksum,
            shards=[
                NewShard(offset=offset, length=length, lines=lines, tokens=weight, checksums=checksums)
                for (offset, length, lines), weight, checksums in zip(
                    cuts, weights, cutter.checksums if cuts else (), strict=True
                )
            ],
        )


def scan_input(
    blobs: BlobStore,
    key: str,
    rules: Rules,
    counter: TokenCounter | Mapping[str, TokenCounter] | None,
    *,
    shard_lines_max: int = SHARD_LINES_MAX,
    shard_bytes_max: int = SHARD_BYTES_MAX,
    cpu_seconds: float = math.inf,
) -> Scan:
    """Checks the file `key` against the rules. `counter` is one for all, or one per deployment; without any, tokens are
    estimated from bytes. Raises ReadTooLong where it takes this process more than `cpu_seconds` of a processor."""
    scanning = Scanning(rules, shard_lines_max, shard_bytes_max)
    from_below(SPARE_LEVELS, partial(_read, blobs, key, scanning, cpu_seconds))
    verdict = scanning.finish()
    if isinstance(counter, Mapping):
        counter = counter.get(verdict.deployment or "")
    return scanning.scan(0 if verdict.errors else scanning.sample.tokens(counter))


class ReadTooLong(Exception):
    """A file takes more of a processor than a file may; `seconds` is what it may take."""

    def __init__(self, seconds: float) -> None:
        super().__init__(seconds)
        self.seconds = seconds


def _read(blobs: BlobStore, key: str, scanning: Scanning, cpu_seconds: float) -> None:
    # Not what a clock says: a machine with too much to do, or a store that is slow, is not the file's doing.
    ends = time.process_time() + cpu_seconds
    with blobs.reader(key) as file:
        # What is in the reader's buffer, and the line that it ends in.
        while block := file.peek():
            if time.process_time() > ends:
                raise ReadTooLong(cpu_seconds)
            head = block[:LOOKED_AT]
            if head.count(b"\n") * REQUEST_BYTES > len(head):
                _read_crumbs(file, scanning, len(block))
            else:
                scanning.feed(file.readlines(len(block)))


def _read_crumbs(file: BufferedReader, scanning: Scanning, size: int) -> None:
    """Reads so many bytes of which most cannot be requests."""
    end, blanks = scanning.size + size, 0
    while scanning.size < end and (line := file.readline()):
        scanning.feed([line])
        blanks = blanks + 1 if line.isspace() else 0
        if blanks >= BLANKS_MAX:
            for blank in blank_run(file):
                scanning.pass_over(blank)
            blanks = 0


def blank_run(file: BufferedReader) -> Iterator[bytes]:
    """Passes over the blank lines that come next, as many as are whole, and yields them in blocks of many.

    As quickly as bytes can be compared: somebody's 190 MB of line ends are not 190 million lines to look at.
    """
    while block := file.peek():
        blank = len(block) - len(block.lstrip())
        end = block.rfind(b"\n", 0, blank) + 1
        yield file.read(end)
        if end < len(block):
            break


def from_below(levels: int, call: Callable[[], None]) -> None:
    """Calls from so many levels further down the stack; each goes through C, because some Pythons count only those."""
    if levels:
        partial(from_below, levels - 1, call)()
    else:
        call()
