"""Results as a table while a batch runs and afterwards: pages, searches, comparisons and exports, within their bounds."""

import asyncio
import csv
import io
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from slackwater.adapters.work.process_offload import InlineOffload
from slackwater.core.errors import InvalidRequest
from slackwater.core.sending.lines import LineWriter
from slackwater.core.watching.comparison import Show
from slackwater.core.watching.result_index import EVERYTHING, Order, ResultIndex, Wanted
from slackwater.core.watching.result_rows import LINE_MAX
from slackwater.core.watching.text_search import Needle
from slackwater.pipeline.sending.shard_lines import shard_digest
from slackwater.pipeline.watching import result_export, result_search, result_shelf, result_tables, whole_lines
from slackwater.pipeline.watching.looking_through import Place
from slackwater.pipeline.watching.result_comparisons import ResultComparisons
from slackwater.pipeline.watching.result_export import Format, ResultExport, Selection
from slackwater.pipeline.watching.result_search import ResultSearch, SearchPage
from slackwater.pipeline.watching.result_shelf import ResultShelf
from slackwater.pipeline.watching.result_tables import ResultTables, TablePage
from slackwater.ports import BlobRange
from tests.pipeline.test_result_reader import World as ReaderWorld

WRITER = LineWriter(shard_digest("batch-0", 0))


def good(number: int, text: str = "Hi", *, tokens: int = 1, seconds: float | None = None) -> bytes:
    """A line of the output file."""
    body = {"choices": [{"message": {"content": text}}], "usage": {"prompt_tokens": 2, "completion_tokens": tokens}}
    return WRITER.answered(
        number,
        f"task-{number}",
        status=200,
        body=json.dumps(body, ensure_ascii=False).encode(),
        seconds=seconds,
    )


def bad(number: int, code: str = "broken") -> bytes:
    """A line of the error file."""
    return WRITER.unanswered(number, f"task-{number}", code=code, message=f"wrong {number}")


class World(ReaderWorld):
    """The same batch with its tables."""

    def __init__(self, place: Path) -> None:
        super().__init__(place)
        self.shelf = ResultShelf()
        offload = InlineOffload()
        self.tables = ResultTables(self.ledger, self.blobs, self.reader, offload, self.shelf)
        self.searches = ResultSearch(self.blobs, self.tables, offload, self.shelf.searches)
        self.comparisons = ResultComparisons(self.tables, self.shelf)
        self.exports = ResultExport(self.blobs, self.tables, self.searches)

    async def page(self, **asked: Any) -> TablePage:
        """A page of the table of now."""
        return await self.tables.page(await self.batch(), **({"limit": 100} | asked))

    async def search(self, text: str, *, limit: int = 100, places: Any = tuple(Place), **more: Any) -> list[SearchPage]:
        """All that a search finds, call by call."""
        pages: list[SearchPage] = []
        while not pages or pages[-1].next is not None:
            after = pages[-1].next if pages else None
            asked = {"places": places, "wanted": EVERYTHING, "after": after, "limit": limit} | more
            pages.append(await self.searches.search(await self.batch(), Needle.of(text), **asked))
        return pages

    async def exported(self, form: Format, **selection: Any) -> bytes:
        """A file."""
        pieces = self.exports.pieces(await self.batch(), Selection(**selection), form)
        return b"".join([piece async for piece in pieces])

    async def input(self, *prompts: str) -> None:
        """The input file has these prompts, after a blank line, and no end of its last line."""
        lines = [
            json.dumps({"custom_id": f"task-{number}", "body": {"messages": [{"role": "user", "content": prompt}]}})
            for number, prompt in enumerate(prompts)
        ]
        writer = await self.blobs.create((await self.batch()).input_blob)
        await writer.write(("\n" + "\n".join(lines)).encode())
        await writer.publish()


@pytest.fixture
def play(tmp_path: Path) -> Any:
    """Plays a story in a new world."""

    def player(story: Any) -> None:
        async def main() -> None:
            world = World(tmp_path)
            await world.start()
            try:
                await story(world)
            finally:
                await world.ledger.close()

        asyncio.run(main())

    return player


def ids(found: TablePage | SearchPage) -> list[int]:
    """Which lines are in it."""
    return [int(row.short.custom_id.removeprefix("task-")) for row in found.rows]


def test_the_table_of_a_batch_that_runs(play: Any) -> None:
    """What is durable so far, with numbers; only what has come since is read; afterwards it is that of the files."""

    async def story(world: World) -> None:
        assert (await world.page()).total == 0
        await world.journal([7, 3], good(7, tokens=5, seconds=2.0) + good(3, tokens=9, seconds=0.5))
        await world.journal([5], bad(5), outcome="error")
        page = await world.page(order=Order.LINE)
        assert (ids(page), [row.line for row in page.rows], page.ready) == ([3, 5, 7], [4, 6, 8], True)
        assert [row.seconds for row in page.rows] == [0.5, None, 2.0]
        index = await world.tables.index_of(await world.batch())
        read: list[BlobRange] = []
        whole = world.blobs.read

        async def counted(source: BlobRange) -> bytes:
            read.append(source)
            return await whole(source)

        world.blobs.read = counted  # type: ignore[method-assign]
        await world.journal([0], good(0, tokens=7))
        assert ids(await world.page(order=Order.OUTPUT_TOKENS, descending=True)) == [3, 0, 7, 5]
        assert await world.tables.index_of(await world.batch()) is index
        # The new line, and the rows of two logs.
        assert len(read) == 3
        await world.end(good(7) + good(3), bad(5) + bad(9, "batch_cancelled"))
        page = await world.page(order=Order.LINE, descending=True)
        # Of the others nobody knows any more: this batch had 2,000 lines.
        assert (ids(page), {row.line for row in page.rows}) == ([9, 7, 5, 3], {None})
        assert ids(await world.page(wanted=Wanted(True, "broken"))) == [5]

    play(story)


def test_pages(play: Any) -> None:
    """Each row once; an offset behind the end is the last page; a jump leads to the page with the line."""

    async def story(world: World) -> None:
        numbers = [*range(1, 24, 2), *range(0, 23, 2)]
        await world.journal(numbers, b"".join(good(number) for number in numbers))
        for order in Order:
            seen: list[int] = []
            for offset in range(0, 24, 7):
                page = await world.page(order=order, offset=offset, limit=7)
                assert (page.offset, page.total) == (offset, len(numbers))
                seen += ids(page)
            assert sorted(seen) == sorted(numbers)
        last = await world.page(order=Order.LINE, offset=2**40, limit=10)
        assert (last.offset, ids(last)) == (20, sorted(numbers)[20:])
        found = await world.page(order=Order.LINE, line=15, limit=10)
        assert (found.offset, ids(found)) == (10, sorted(numbers)[10:20])
        found = await world.page(order=Order.LINE, line=2**40, limit=10)
        assert found.offset == 20

    play(story)


def test_views_of_many_are_made_on_threads(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Many who ask for different ones at once have theirs; what was asked before is kept, as long as nothing comes."""
    monkeypatch.setattr(result_tables, "HERE_LINES", 0)

    async def story(world: World) -> None:
        numbers = [3, 1, 2]
        await world.journal(numbers, b"".join(good(each, tokens=each, seconds=9 - each) for each in numbers))
        asked = [(order, descending) for order in Order for descending in (False, True)] * 3
        pages = await asyncio.gather(*(world.page(order=order, descending=down) for order, down in asked))
        assert [ids(page) for page in pages[:8]] == [
            *([3, 1, 2], [2, 1, 3]),
            *([1, 2, 3], [3, 2, 1]),
            *([1, 2, 3], [3, 2, 1]),
            *([3, 2, 1], [1, 2, 3]),
        ]
        index = world.shelf.of("batch-0").index
        view = await world.tables.view(index, order=Order.LINE, descending=True, wanted=EVERYTHING)
        assert await world.tables.view(index, order=Order.LINE, descending=True, wanted=EVERYTHING) is view
        await world.journal([0], good(0))
        assert ids(await world.page(order=Order.LINE, descending=True)) == [3, 2, 1, 0]

    play(story)


def test_a_first_page_does_not_wait(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a large batch the first rows are there at once, and the rest when the table is made, once for all who ask."""
    monkeypatch.setattr(result_tables, "HERE_BYTES", 100)

    async def story(world: World) -> None:
        await world.end(b"".join(good(number) for number in (3, 1, 2)), b"")
        first = await world.page(limit=2)
        assert (ids(first), first.ready) == ([3, 1], False)
        pages = await asyncio.gather(*(world.page(order=Order.LINE) for _ in range(5)))
        assert [ids(page) for page in pages] == [[1, 2, 3]] * 5
        assert len({id(await world.tables.index_of(await world.batch())) for _ in range(3)}) == 1
        assert (await world.page(limit=2)).ready

    play(story)


def test_whoever_watches_the_beginning_has_no_more_read(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a batch that runs: its first page is read once, says how many there are, and the rest is read when it is wanted."""
    monkeypatch.setattr(result_tables, "FEW_BYTES", 1_000)

    async def story(world: World) -> None:
        for number in range(40):
            await world.journal([number], good(number))
        first = await world.page(limit=5)
        assert (ids(first), first.total, first.ready) == ([0, 1, 2, 3, 4], 40, True)
        index = world.shelf.of("batch-0").index
        assert 5 <= len(index) < 20
        await world.journal([40], good(40))
        assert (await world.page(limit=5)).total == 41
        assert len(index) < 20
        assert ids(await world.page(offset=38, limit=9)) == [36, 37, 38, 39, 40]
        assert ids(await world.page(order=Order.LINE, descending=True, limit=2)) == [40, 39]
        pages = await asyncio.gather(*(world.page(limit=limit) for limit in (5, 30)), world.page(order=Order.LINE))
        assert [len(page.rows) for page in pages] == [5, 30, 41]

    play(story)


def test_files_that_are_deleted(play: Any) -> None:
    """Their results are gone from the table, at once; without any file it is empty."""

    async def story(world: World) -> None:
        await world.end(good(0) + good(1), bad(2))
        assert ids(await world.page()) == [0, 1, 2]
        await world.ledger.delete_file("file-8")
        assert ids(await world.page()) == [2]
        await world.ledger.delete_file("file-9")
        assert (await world.page()).total == 0
        assert (await world.search("wrong"))[0].rows == []

    play(story)


def test_what_is_in_memory_is_bounded(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Indexes that nobody looks at go when others come; too many results are refused, but for the first page."""

    async def story(world: World) -> None:
        await world.end(good(0), b"")
        await world.page()
        shelf = result_shelf.ResultShelf(bytes_max=1)
        for name in "ab":
            shelf.of(name)
        shelf.trim()
        assert list(shelf._shelved) == ["b"]
        monkeypatch.setattr(result_tables, "RESULTS_MAX", -1)
        assert not (await world.page()).ready
        with pytest.raises(InvalidRequest, match="too many"):
            await world.page(order=Order.LINE)

    play(story)


def test_long_lines(play: Any) -> None:
    """Only their beginning is read for a row; what is known of them is shown; damage has a row of its own."""

    async def story(world: World) -> None:
        long = WRITER.answered(1, 'ta"sk\u2028', status=201, body=b'{"choices":[{"text":"%s"}]}' % (b"x" * LINE_MAX))
        await world.journal([0, 1, 2], good(0) + long + b"{damaged\n")
        page = await world.page()
        first, second, third = (row.short for row in page.rows)
        assert (first.answer, second.custom_id, second.status_code, second.answer) == ("Hi", 'ta"sk\u2028', 201, None)
        assert (third.custom_id, third.code) == ("", "result_unreadable")
        data = (await world.exported(Format.JSONL)).splitlines(keepends=True)
        assert data == [good(0), long, b"{damaged\n"]

    play(story)


def test_a_search(play: Any) -> None:
    """In ids, answers and prompts; each result once, with the place; what has no result yet is not among them."""

    async def story(world: World) -> None:
        await world.input("a sea", "b", "THE SEA", "sea, unanswered", "e")
        await world.journal([4, 2, 1, 0], good(4, "Sea!") + good(2, "the sea") + good(1, "no") + good(0, "none"))
        [page] = await world.search("sea")
        assert [(row.short.custom_id, row.found_in) for row in page.rows] == [
            ("task-4", "answer"),
            ("task-2", "answer"),
            ("task-0", "prompt"),
        ]
        assert (page.results, page.results_total, page.stopped) == (4, 4, None)
        size = len(await world.blobs.read(BlobRange(key=(await world.batch()).input_blob, offset=0, length=1 << 20)))
        assert page.prompts_bytes == size
        [page] = await world.search("TASK-1")
        assert [(row.short.custom_id, row.found_in) for row in page.rows] == [("task-1", "custom_id")]
        [page] = await world.search("sea", places=[Place.PROMPT])
        assert ids(page) == [0, 2]
        [page] = await world.search("sea", wanted=Wanted(True))
        assert page.rows == []
        await world.blobs.delete((await world.batch()).input_blob)
        [page] = await world.search("sea")
        assert (ids(page), page.prompts_gone) == ([4, 2], True)

    play(story)


@pytest.mark.parametrize("bound", ["LINES_MAX", "BYTES_MAX", "SECONDS_MAX", "limit"])
def test_a_search_stops_and_goes_on(play: Any, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    """Whichever of its bounds is reached: with its cursor the next call goes on, and all together find everything once."""
    monkeypatch.setattr(result_search, "PIECE_BYTES", 1 << 10)
    if bound != "limit":
        monkeypatch.setattr(result_search, bound, {"LINES_MAX": 3, "BYTES_MAX": 700, "SECONDS_MAX": 0.0}[bound])

    async def story(world: World) -> None:
        await world.input(*("sea" if number % 3 else "lake" for number in range(40)))
        numbers = [*range(0, 40, 2), *range(1, 40, 2)]
        await world.journal(numbers, b"".join(good(each, "sea" if each % 2 else "pond") for each in numbers))
        if bound == "SECONDS_MAX":
            # No time at all is no progress: a little is.
            monkeypatch.setattr(result_search, "SECONDS_MAX", 1e-3)
        pages = await world.search("sea", limit=4 if bound == "limit" else 100)
        found = [number for page in pages for number in ids(page)]
        assert sorted(found) == sorted(number for number in range(40) if number % 2 or number % 3)
        assert len(pages) > 2 or bound == "SECONDS_MAX"
        assert {page.stopped for page in pages[:-1]} <= {
            {"LINES_MAX": "lines", "BYTES_MAX": "bytes", "SECONDS_MAX": "time", "limit": "limit"}[bound]
        }
        assert pages[-1].stopped is None
        assert [page.results for page in pages] == sorted(page.results for page in pages)

    play(story)


def test_a_search_begins_again_when_the_batch_has_ended(play: Any) -> None:
    """Its results are in other places then: nothing is missed, and ids tell what was seen."""

    async def story(world: World) -> None:
        await world.input("x")
        await world.journal([0, 1, 2], good(0, "sea") + good(1, "sea") + good(2, "sea"))
        first = await world.searches.search(
            await world.batch(), Needle.of("sea"), places=tuple(Place), wanted=EVERYTHING, after=None, limit=2
        )
        assert ids(first) == [0, 1]
        await world.end(good(2, "sea") + good(1, "sea") + good(0, "sea"), b"")
        rest = await world.searches.search(
            await world.batch(), Needle.of("sea"), places=tuple(Place), wanted=EVERYTHING, after=first.next, limit=9
        )
        assert ids(rest) == [2, 1, 0]

    play(story)


def test_a_search_while_the_batch_ends(play: Any) -> None:
    """Whose logs go in the middle of it: it begins again on the files, and misses nothing."""

    async def story(world: World) -> None:
        await world.input("x")
        await world.journal([0, 1], good(0) + good(1, "sea"))
        before = await world.batch()
        await world.tables.page(before, limit=9)
        await world.end(good(1, "sea") + good(0), b"")
        found = await world.searches.search(
            before, Needle.of("sea"), places=tuple(Place), wanted=EVERYTHING, after=None, limit=9
        )
        assert (ids(found), found.results_total) == ([1], 2)
        assert ids(await world.tables.page(before, order=Order.LINE, limit=9)) == [0, 1]

    play(story)


def test_lines_that_are_too_long_are_passed_over(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search counts them, and goes on behind them."""
    monkeypatch.setattr(result_search, "LINE_BYTES_MAX", 1_000)
    monkeypatch.setattr(result_search, "PIECE_BYTES", 300)

    async def story(world: World) -> None:
        await world.input("sea", "sea" * 1_000, "lake", "sea")
        await world.journal([0, 1, 2, 3], good(0) + good(1, "sea" * 900) + good(2, "sea") + good(3))
        [page] = await world.search("sea")
        assert (sorted(ids(page)), page.passed_over) == ([0, 2, 3], 1)

    play(story)


@pytest.mark.parametrize("piece", [1, 7, 64, 10_000])
@pytest.mark.parametrize("most", [None, 50])
def test_whole_lines(play: Any, piece: int, most: int | None) -> None:
    """However the bytes are cut: each line once, with its place; those that are too long are left out."""

    async def story(world: World) -> None:
        lines = [b"a\n", b"\n", b"x" * 200 + b"\n", b"bc\n", b"y" * 300 + b"\n", b"last"]
        writer = await world.blobs.create("files/text")
        await writer.write(b"".join(lines))
        await writer.publish()
        where = BlobRange(key="files/text", offset=0, length=1 << 40)
        found = whole_lines.whole_lines(world.blobs, where, piece_bytes=piece, line_max=most, open_end=True)
        data, at = b"".join(lines), []
        async for begin, text in found:
            assert data[begin : begin + len(text)] == text or (text == b"last\n" and data[begin:] == b"last")
            at.append(text)
        wanted = [each for each in lines if most is None or len(each) < most or (piece == 10_000)]
        assert b"".join(at) == b"".join(wanted) + b"\n"

    play(story)


def test_an_export(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the table shows, in its order, a few lines at a time; or what a search finds; formulas are texts."""
    monkeypatch.setattr(result_export, "LINES_AT_ONCE", 2)

    async def story(world: World) -> None:
        await world.input("p", "p", "p sea")
        await world.journal([2, 0, 1], good(2, "a", tokens=1) + good(0, '=1+1,"\n', tokens=3) + good(1, "-", tokens=2))
        await world.journal([3], bad(3), outcome="error")
        text = (await world.exported(Format.CSV, order=Order.LINE)).decode()
        rows = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [(row["custom_id"], row["line"]) for row in rows] == [
            ("task-0", "1"),
            ("task-1", "2"),
            ("task-2", "3"),
            ("task-3", "4"),
        ]
        assert [row["answer"] for row in rows] == ["'=1+1,\"\n", "'-", "a", ""]
        assert (rows[3]["outcome"], rows[3]["code"], rows[3]["message"]) == ("failed", "broken", "wrong 3")
        data = await world.exported(Format.JSONL, order=Order.OUTPUT_TOKENS, descending=True, wanted=Wanted(False))
        assert [json.loads(line)["custom_id"] for line in data.splitlines()] == ["task-0", "task-1", "task-2"]
        data = await world.exported(Format.JSONL, needle=Needle.of("SEA"))
        assert data == good(2, "a")

    play(story)


def test_long_answers_in_an_export(play: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table says where they are; as lines they are passed on whole."""
    monkeypatch.setattr(result_export, "LINE_BYTES_MAX", 1_000)

    async def story(world: World) -> None:
        await world.journal([0, 1], good(0, "x" * 5_000) + good(1))
        text = (await world.exported(Format.CSV)).decode()
        [long, short] = csv.DictReader(io.StringIO(text, newline=""))
        assert (long["custom_id"], long["answer"][:14], short["answer"]) == ("task-0", "(an answer of ", "Hi")
        assert await world.exported(Format.JSONL) == good(0, "x" * 5_000) + good(1)

    play(story)


def test_a_comparison(play: Any) -> None:
    """Answers side by side; what has come since is among them at the next look."""

    async def story(world: World) -> None:
        await world.journal([0, 1, 2], good(0, "a") + good(1, "b") + good(2, "c"))
        batch = await world.batch()
        other = msgspec.structs.replace(batch, id="batch-1")
        index = ResultIndex()
        shelved = world.shelf.of("batch-1")
        shelved.of, shelved.index = (), index
        counts = (await world.comparisons.page(batch, other, show=Show.ALL, offset=0, limit=9)).counts
        assert counts["only_here"] == counts["all"] == 3
        shelved.index = await world.tables.index_of(batch)  # type: ignore[assignment]
        page = await world.comparisons.page(batch, batch, show=Show.SAME, offset=99, limit=2)
        assert (page.offset, page.total, page.pairs[0].same) == (2, 3, True)
        await world.journal([3], good(3))
        assert (await world.comparisons.page(batch, batch, show=Show.SAME, offset=0, limit=2)).total == 4

    play(story)
