"""Reads results into an index. What takes long runs in an Offload; what came since the last look is read right here."""

from collections.abc import Sequence
from functools import partial
from pickle import PickleBuffer

from slackwater.core.watching.result_entries import Numbers, read_entry
from slackwater.core.watching.result_index import Columns, Order, ResultIndex
from slackwater.pipeline.sending.shard_lines import shard_digest
from slackwater.ports import BlobStore

# Read at once.
PIECE = 2 << 20


def numbers_of(batch_id: str, sizes: Sequence[int] | None) -> Numbers:
    """What numbers the requests of a batch; without the sizes of its shards, by their order alone."""
    return Numbers(partial(shard_digest, batch_id), sizes)


def entries_of(lines: bytes | PickleBuffer, failed: bool, numbers: Numbers) -> Columns:
    """The entries of whole lines, with their ends."""
    columns = Columns()
    for line in bytes(lines).split(b"\n")[:-1]:
        entry = read_entry(line, failed=failed)
        columns.add(entry, length=len(line) + 1, number=numbers.of(entry.place))
    return columns


def index_of_files(blobs: BlobStore, files: Sequence[tuple[str, bool]], numbers: Numbers, total: int) -> ResultIndex:
    """The index of whole files of results, of each its key and whether it is that of errors; of a batch of `total` lines."""
    index = ResultIndex()
    for key, failed in files:
        offset = 0
        with blobs.reader(key) as file:
            while lines := file.readlines(PIECE):
                columns = entries_of(b"".join(lines), failed, numbers)
                index.extend(columns, key=key, offset=offset, failed=failed)
                offset += sum(columns.length)
    return finished(index, total)


def finished(index: ResultIndex, total: int | None) -> ResultIndex:
    """An index with all its orders; with the `total` of its batch where that has ended, which numbers its requests."""
    if total is not None:
        index.number_all(total=total)
    for order in (Order.LINE.value, Order.OUTPUT_TOKENS.value, Order.LATENCY.value, "id"):
        index.positions_by(order)
    return index
