"""Validates an input file before anybody makes a batch of it: the same rules, the same reading, and nothing is changed.

A check keeps a core busy as a validation does, in an Offload that validations have no part in; each resource may have only
a few at once: whoever asks for more is told to come back.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import TypeVar

import msgspec
from msgspec import Struct

from slackwater.core.accounts.cost import cost_of
from slackwater.core.accounts.price import Price
from slackwater.core.accounts.usage import Usage
from slackwater.core.batch import BatchError
from slackwater.core.endpoints import REQUIRED_KEY, normalised, versioned
from slackwater.core.errors import FileUnreadable, InvalidRequest, NotFound, TooBusy
from slackwater.core.files.file import File, FileStatus, Purpose
from slackwater.core.input.excerpt import Excerpt, excerpt_of
from slackwater.core.input.line_judge import InputLimits, Rules
from slackwater.core.input.peek import HEAD_BYTES, first_url
from slackwater.core.input.tokens import QuickCounter, TokenCounter
from slackwater.core.input.validation import is_blank
from slackwater.core.quota.dynamic import Allowance
from slackwater.core.quota.enqueued import fits
from slackwater.core.sending.deployment import Deployment, WhenFull
from slackwater.pipeline import stored_files
from slackwater.pipeline.input.input_scan import BLANKS_MAX, Scan, blank_run, scan_input
from slackwater.pipeline.input.small_files import scan_small
from slackwater.ports import SMALL_INPUT_BYTES, BlobRange, BlobStore, Ledger, Offload

C = TypeVar("C")
AT_ONCE_MAX = 2
RETRY_AFTER_SECONDS = 2
ENDPOINT = "/v1/chat/completions"


class Room(Struct, frozen=True, kw_only=True):
    """Whether the file's tokens would fit now."""

    held: int
    limit: int | None
    fits: bool
    waits: bool
    """Whether a batch that does not fit would wait for its turn."""


class Pace(Struct, frozen=True, kw_only=True):
    """What its deployment has been seen to do, and what would come before it."""

    tokens_per_second: float
    """Input tokens that were finished, over the last minutes in which any were."""
    tokens_ahead: int
    """Enqueued tokens of batches that have not ended; one that is half done counts whole."""


class Check(Struct, frozen=True, kw_only=True):
    """What was found. Without errors, the file could be a batch now."""

    scan: Scan
    excerpts: list[Excerpt | None]
    """For each error of the scan that is about a line, its place."""
    endpoint: str
    deployment: Deployment | None
    room: Room | None
    price: Price | None
    pace: Pace | None = None
    """None where nothing has been measured."""

    @property
    def input_cost(self) -> int | None:
        """What its input tokens would cost, in the unit of core/accounts/price.py; None where there is no price."""
        if self.price is None or self.scan.errors:
            return None
        return cost_of(Usage(input_tokens=self.scan.tokens), self.price)


class FileChecks:
    """Checks the files of one resource."""

    def __init__(
        self,
        ledger: Ledger,
        blobs: BlobStore,
        offload: Offload,
        *,
        deployments: Callable[[], Iterable[Deployment]],
        counter: TokenCounter | Mapping[str, TokenCounter] | None,
        quick_counter: QuickCounter | Mapping[str, QuickCounter] | None = None,
        price_of: Callable[[str], Price | None],
        allowance: Callable[[Deployment], Awaitable[Allowance]],
        limits: InputLimits,
        at_once_max: int = AT_ONCE_MAX,
        current: Callable[[], Awaitable[None]] | None = None,
        tokens_per_second: Callable[[Deployment], float] = lambda deployment: 0.0,
    ) -> None:
        """`tokens_per_second` says what a deployment has been seen to do; 0 where nothing is known.

        `current` returns when `deployments` says what there is now, where another server may change that.
        """
        self._current = current
        self._tokens_per_second = tokens_per_second
        self._ledger = ledger
        self._blobs = blobs
        self._offload = offload
        self._deployments = deployments
        self._counter = counter
        self._quick_counter = quick_counter
        self._price_of = price_of
        self._allowance = allowance
        self._limits = limits
        self._at_once_max = at_once_max
        self._running = 0

    async def check(self, file: File, *, family: str, endpoint: str | None) -> Check:
        """Checks a file for an endpoint, by default that of its first line. Raises InvalidRequest, NotFound and TooBusy."""
        if file.purpose is not Purpose.BATCH:
            raise InvalidRequest(
                f"The file has the purpose '{file.purpose.value}'. Only files with the purpose 'batch' are validated.",
                param="file_id",
            )
        if file.status is not FileStatus.PROCESSED:
            raise InvalidRequest(
                f"The file is '{file.status.value}'. Only one that is 'processed' can be validated.", param="file_id"
            )
        if endpoint is not None and normalised(endpoint) not in REQUIRED_KEY:
            raise InvalidRequest(
                f"Invalid value: '{endpoint[:60]}'. Supported values are: {', '.join(sorted(REQUIRED_KEY))}.",
                param="endpoint",
            )
        if self._running >= self._at_once_max:
            raise TooBusy(
                f"{self._running} files of this resource are being validated already. Try again in a moment.",
                retry_after=RETRY_AFTER_SECONDS,
            )
        self._running += 1
        try:
            await stored_files.find(self._blobs, file)
            return await self._check(file, family, endpoint)
        except (FileNotFoundError, FileUnreadable) as error:
            if isinstance(error, FileUnreadable) and await self._ledger.file(file.id) is not None:
                raise
            raise NotFound(f"The file '{file.id}' has just been deleted.") from error
        finally:
            self._running -= 1

    async def _check(self, file: File, family: str, endpoint: str | None) -> Check:
        endpoint = endpoint or await self._endpoint_of(file, family)
        if self._current is not None:
            await self._current()
        deployments = {each.name: each for each in self._deployments()}
        rules = Rules(
            family=family,
            endpoint=endpoint,
            deployments={
                name: msgspec.structs.replace(each.capabilities, sku=each.sku) for name, each in deployments.items()
            },
            **msgspec.structs.asdict(self._limits),
        )
        scan, excerpts = await self._scan(file, rules)
        if not scan.is_of(file):
            raise stored_files.unreadable(file, "changed")
        deployment = deployments.get(scan.deployment or "")
        room = None if deployment is None or scan.errors else await self._room(deployment, scan.tokens)
        return Check(
            scan=scan,
            excerpts=excerpts,
            endpoint=endpoint,
            deployment=deployment,
            room=room,
            price=None if deployment is None else self._price_of(deployment.model),
            pace=None if deployment is None or room is None else await self._pace(deployment),
        )

    async def _pace(self, deployment: Deployment) -> Pace | None:
        rate = self._tokens_per_second(deployment)
        if rate <= 0:
            return None
        load = await self._ledger.deployment_load(deployment.key)
        return Pace(tokens_per_second=rate, tokens_ahead=load.held + load.waiting)

    async def _scan(self, file: File, rules: Rules) -> tuple[Scan, list[Excerpt | None]]:
        """What validation finds, and where. A small file is read here, as for a batch."""
        if self._quick_counter is not None and file.size <= SMALL_INPUT_BYTES:
            quick = self._counters_of(self._quick_counter)
            scan = await scan_small(self._blobs, file.blob, rules, quick)
            if scan is not None:
                return scan, await asyncio.to_thread(excerpts_of, self._blobs, file.blob, scan.errors)
        counter = None if self._counter is None else self._counters_of(self._counter)
        return await self._offload.run(scan_with_excerpts, self._blobs, file.blob, rules, counter)

    async def _endpoint_of(self, file: File, family: str) -> str:
        """That of the first line, so that a file for another endpoint is not found to be all wrong.

        OpenAI's has the version, and the urls of lines are compared with it to the letter.
        """
        head = await self._blobs.read(BlobRange(key=file.blob, offset=0, length=HEAD_BYTES))
        url = first_url(head, size=file.size)
        if url is None or normalised(url) not in REQUIRED_KEY:
            return ENDPOINT
        return versioned(url) if family == "openai" else url

    async def _room(self, deployment: Deployment, tokens: int) -> Room:
        held = await self._ledger.enqueued_tokens(deployment.key)
        limit = (await self._allowance(deployment)).limit
        return Room(
            held=held,
            limit=limit,
            fits=fits(tokens, limit=limit, held=held),
            waits=deployment.when_full is WhenFull.QUEUE,
        )

    def _counters_of(self, counter: C | Mapping[str, C]) -> C | Mapping[str, C]:
        if not isinstance(counter, Mapping):
            return counter
        return {each.name: counter[each.tokenizer] for each in self._deployments() if each.tokenizer in counter}


def scan_with_excerpts(
    blobs: BlobStore,
    key: str,
    rules: Rules,
    counter: TokenCounter | Mapping[str, TokenCounter] | None,
) -> tuple[Scan, list[Excerpt | None]]:
    """What validation finds in a file, and for each error the place in its line. Runs in an Offload."""
    scan = scan_input(blobs, key, rules, counter)
    # Nobody needs them here, and they would have to be carried over.
    scan = msgspec.structs.replace(scan, shards=[])
    return scan, excerpts_of(blobs, key, scan.errors)


def excerpts_of(blobs: BlobStore, key: str, errors: list[BatchError]) -> list[Excerpt | None]:
    """For each error, the place in its line; None for those that are about the whole file."""
    by_line = {error.line: error for error in errors if error.line is not None}
    excerpts: dict[int, Excerpt] = {}
    if by_line:
        with blobs.reader(key) as file:
            number = blanks = 0
            while len(excerpts) < len(by_line) and (line := file.readline()):
                number += 1
                if number in by_line:
                    excerpts[number] = excerpt_of(line, by_line[number])
                blanks = blanks + 1 if is_blank(line) else 0
                if blanks >= BLANKS_MAX:
                    number += sum(blank.count(b"\n") for blank in blank_run(file))
    return [None if error.line is None else excerpts.get(error.line) for error in errors]
