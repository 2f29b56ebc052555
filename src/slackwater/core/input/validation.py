"""The rules of an input file: line by line, then as a whole. A valid line costs one typed decode; words cost only errors.

Every wrong line is found, with its number from 1, up to a cap on how many are kept. What is wrong with one is said by
core/input/line_judge.py; here it is only decided, as quickly as can be, that nothing is.
"""

from collections.abc import Sequence

import msgspec
from msgspec import Struct

from slackwater.core.batch import BatchError
from slackwater.core.endpoints import EVERY_ENDPOINT
from slackwater.core.input.json_faults import json_fault
from slackwater.core.input.line_judge import INVALID_JSON, LineJudge, Rules, check_utf8, id_key
from slackwater.core.input.payloads import MAY_BE_IMAGE, begins_filled, inputs_in
from slackwater.core.input.whole_file import ARRAY, is_array, whole_file_mistake

NO_LIMIT = 1 << 62


def is_blank(line: bytes) -> bool:
    """Whether a line of an input file is no request: blank lines count for line numbers and for nothing else.

    Lines end with LF, and with nothing else; a CR before it is white space of JSON.
    """
    return not line or line.isspace()


class Verdict(Struct, frozen=True, kw_only=True):
    """What was found. `errors` are at most `errors_max`, and one more that says how many lines are not among them."""

    errors: list[BatchError]
    error_count: int
    total: int
    deployment: str | None
    endpoint: str
    """Without version; `/responses` where the file says so (see LineJudge), EVERY_ENDPOINT where lines have different ones."""


class InputChecker:
    """Takes the lines of one file in order and knows in the end whether it may run."""

    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._judge = LineJudge(rules)
        self._errors: list[BatchError] = []
        self._error_count = 0
        self._number = 0
        self._total = 0
        self._lines_max = rules.lines_max or NO_LIMIT
        self._inputs_max = rules.embedding_inputs_max or NO_LIMIT
        self.mistake: str | None = None
        """What the file is instead of JSON Lines; nothing is said of its lines then."""
        self._array = False
        """Whether its first line is an array, which it is as a whole if there is no other."""

    @property
    def as_a_whole(self) -> str | None:
        """What the file is instead of JSON Lines, as far as it has been read; None where it is lines, right or wrong."""
        return self.mistake or (ARRAY if self._array and self._total == 1 else None)

    @property
    def faultless(self) -> bool:
        """Whether the file may run, as far as it has been read."""
        return not self._error_count and self._total <= self._lines_max and self._judge.inputs <= self._inputs_max

    def feed(self, line: bytes) -> bool:
        """Checks the next line of the file, with or without its line end; False if it is blank and no request."""
        self._number += 1
        if is_blank(line):
            return False
        self._total += 1
        if self._total > self._lines_max:
            # The file is refused as it is: from here on lines are only counted.
            self._judge.ids.clear()
        elif not self._fits(line):
            self._look_closer(line)
        return True

    def feed_all(self, lines: Sequence[bytes]) -> None:
        """The same for the next lines of the file, none of which is blank: nearly all that happens for each is in `_fits`."""
        number, total = self._number, self._total
        if total + len(lines) > self._lines_max:
            for line in lines:
                self.feed(line)
            return
        fits = self._fits
        for place, line in enumerate(lines, 1):
            if not fits(line):
                self._number, self._total = number + place, total + place
                self._look_closer(line)
        self._number, self._total = number + len(lines), total + len(lines)

    def pass_over(self, lines: int) -> None:
        """So many blank lines come next."""
        self._number += lines

    def take_errors(self) -> list[BatchError]:
        """What has been found since the last call; the verdict does not repeat it."""
        taken, self._errors = self._errors, []
        return taken

    def _look_closer(self, line: bytes) -> None:
        if self.mistake is not None or (fault := self._judge.judge(line, self._number)) is None:
            return
        if self._total == 1:
            self.mistake, self._array = whole_file_mistake(line), is_array(line)
        self._error_count += 1
        if len(self._errors) < self._rules.errors_max:
            self._errors.append(with_place(line, fault))

    def _fits(self, line: bytes) -> bool:
        """Whether a line is like those before it and has nothing wrong: the short way, for nearly all lines."""
        judge = self._judge
        try:
            if not line.isascii():
                check_utf8(line)
            read = judge.decode(line)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return False
        body, name = read.body, id_key(read.custom_id)
        payload = getattr(body, judge.key)
        if (
            body.model != judge.model
            or read.url != judge.url
            or read.method != "POST"
            or body.stream
            or not name
            or name in judge.ids
            or (judge.plain and not begins_filled(payload, judge.key))
            or (not judge.sees_images and MAY_BE_IMAGE(line))
        ):
            return False
        judge.ids.add(name)
        if judge.embeds:
            judge.inputs += inputs_in(payload)
        return True

    def finish(self) -> Verdict:
        """What holds for the file as a whole."""
        rules, errors, count = self._rules, self._errors, self._error_count
        if self._total == 0:
            errors, count = [BatchError(code="empty_file", message=EMPTY)], 1
        elif self._judge.bom and rules.family == "azure":
            # Azure looks for the deployment before it looks at lines, and a byte order mark hides it (spec 5.3).
            errors, count = [BatchError(code="invalid_request", message=BOM_MESSAGE)], 1
        elif mistake := self.as_a_whole:
            errors, count = [msgspec.structs.replace(errors[0], message=mistake)], 1
        elif too_many := self._too_many():
            errors, count = [*too_many, *errors][: rules.errors_max], count + len(too_many)
        more = count - len(errors)
        if more > 0:
            message = f"{more:,} more lines are wrong." if more > 1 else "1 more line is wrong."
            errors = [*errors, BatchError(code="invalid_request", message=message)]
        return Verdict(
            errors=errors,
            error_count=count,
            total=self._total,
            deployment=self._judge.model,
            endpoint=EVERY_ENDPOINT if self._judge.mixed else self._judge.endpoint,
        )

    def _too_many(self) -> list[BatchError]:
        """The limits that the file as a whole is over. Only Azure's code for that is known, so all families use it."""
        found = []
        if self._total > self._lines_max:
            message = (
                f"The number of requests in the input file exceeds the maximum allowed value of {self._lines_max:,}; "
                f"it has {self._total:,}. Split it into several files."
            )
            found.append(BatchError(code="too_many_tasks", message=message))
        if self._judge.inputs > self._inputs_max:
            message = (
                "The number of embedding inputs in the input file, over all its requests, exceeds the maximum allowed "
                f"value of {self._inputs_max:,}; it has {self._judge.inputs:,}. Split it into several files."
            )
            found.append(BatchError(code="too_many_tasks", message=message, param="body.input"))
        return found


def with_place(line: bytes, error: BatchError) -> BatchError:
    """The error of a line that is no JSON, with the column and what is there. The vendor's words come first."""
    if error.code != INVALID_JSON or (fault := json_fault(line)) is None:
        return error
    return msgspec.structs.replace(error, message=f"{error.message} Column {fault.start + 1:,}: {fault.what}.")


EMPTY = "The input file is empty. Please ensure that the batch contains at least one request."
BOM_MESSAGE = (
    "Validation failed: A valid model deployment name couldn't be extracted from the input file. Please ensure that each "
    "row in the input file has a valid deployment name specified in the 'model' field, and that the deployment name is "
    "consistent across all rows."
)
