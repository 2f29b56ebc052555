"""`slackwater estimate`: what a file will cost and how long it will take, before it is sent anywhere."""

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import msgspec
from msgspec import Struct

from slackwater.cli.amounts import price_pair
from slackwater.cli.input_files import first_url, lines_of
from slackwater.cli.output import note, print_json, print_rows
from slackwater.cli.progress import duration
from slackwater.cli.server_options import Asked, api_of, server_options, told
from slackwater.core.accounts.cost import price_of
from slackwater.core.accounts.price import Price, written
from slackwater.core.endpoints import EMBEDDINGS, MODERATIONS, RERANK, SCORE, SPEECH, VIDEOS, normalised
from slackwater.core.errors import CallFailed, InvalidRequest
from slackwater.core.input.tokens import TokenSample
from slackwater.core.input.validation import is_blank

if TYPE_CHECKING:
    from slackwater.client.api import Api

# Endpoints that answer with no tokens, or with none that anybody counts.
NO_OUTPUT = (EMBEDDINGS, MODERATIONS, RERANK, SCORE, SPEECH, VIDEOS)
# Finished batches of the server that are looked at for its speed.
BATCHES_SEEN, BATCHES_USED = 200, 20


class _Body(Struct):
    model: str
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    max_output_tokens: int | None = None

    @property
    def most(self) -> int | None:
        """How long its answer may be."""
        return self.max_completion_tokens or self.max_output_tokens or self.max_tokens


class _Line(Struct):
    body: _Body


class _NoSecrets(Mapping[str, str]):
    """An environment for reading a price list: the keys of a service are not here, and are not needed."""

    def __getitem__(self, name: str) -> str:
        return "unused"

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 0


class _Seen:
    """The requests of one model."""

    def __init__(self) -> None:
        self.requests = 0
        self.sample = TokenSample()
        self.output_max: int | None = 0


@click.command("estimate")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output-tokens", type=click.IntRange(0), metavar="N", help="How long an answer is, on average.")
@click.option("--config", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="With the price list.")
@click.option("--price", callback=price_pair, metavar="IN,OUT", help="For a million tokens each, such as 2.50,10.00.")
@click.option("--currency", default="USD", show_default=True, help="Of --price.")
@click.option("--discount", type=click.IntRange(0, 100), default=50, show_default=True, help="Per cent off --price.")
@click.option("--rate", type=click.FloatRange(0, min_open=True), metavar="N", help="Requests a second.")
@click.option("--measured", is_flag=True, help="Ask the server how fast its last batches were.")
@click.option("--tokenizer", type=click.Choice(["o200k_base", "cl100k_base"]), default="o200k_base", show_default=True)
@server_options
def command(
    file: Path,
    output_tokens: int | None,
    config: Path | None,
    price: tuple[int, int] | None,
    currency: str,
    discount: int,
    rate: float | None,
    measured: bool,
    tokenizer: str,
    asked: Asked,
) -> None:
    """Estimate tokens, cost and time of the input FILE.

    Input tokens are counted on a sample of the lines. How long answers are, nobody knows before: say it with --output-tokens,
    else the limits in the lines (max_tokens and the like) count, as the most that it can be. No server is needed, except
    with --measured.

    In a pipe, each model is a line with tabs between: model, requests, input tokens, output tokens, cost, currency.

    \b
    Exit codes: 0 done, 1 it went wrong, 2 wrong usage.
    \b
    Example:
      slackwater estimate questions.jsonl --price 2.50,10.00 --output-tokens 300 --rate 25
    """
    with told():
        if config is not None and price is not None:
            raise InvalidRequest("give --config or --price, not both")
        prices, names = _prices(config, price, currency, discount)
        seen = _read(file)
        answers = normalised(first_url(file)) not in NO_OUTPUT
        models = [
            _of_model(name, each, price_of(names.get(name, name), prices), tokenizer, output_tokens if answers else 0)
            for name, each in seen.items()
        ]
        requests = sum(each.requests for each in seen.values())
        speed = rate if rate is not None else _speed(asked, set(seen)) if measured else None
    seconds = None if speed is None else requests / speed
    known = [each["output_tokens"] for each in models]
    found = {
        "requests": requests,
        "input_tokens": sum(each["input_tokens"] for each in models),
        "output_tokens": None if None in known else sum(known),
        "output_tokens_are": "given" if output_tokens is not None or not answers else "limits",
        "models": models,
        "requests_per_second": None if speed is None else round(speed, 3),
        "seconds": None if seconds is None else round(seconds, 1),
    }
    if asked.as_json:
        print_json(found)
        return
    columns = ("model", "requests", "input tokens", "output tokens", "cost", "currency")
    print_rows(columns, map(_row, models), nothing="")
    if None in known:
        note("how long answers are is not known, so they are not in the cost; say it with --output-tokens")
    elif found["output_tokens_are"] == "limits":
        note("output tokens and cost are the most that the limits in the lines allow")
    if seconds is not None:
        note(f"{duration(seconds)} at {speed:,.1f} requests a second")


def _read(file: Path) -> dict[str, _Seen]:
    seen: dict[str, _Seen] = {}
    decode = msgspec.json.Decoder(_Line).decode
    for number, line in enumerate(lines_of(file), 1):
        if is_blank(line):
            continue
        try:
            body = decode(line).body
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidRequest(f"line {number:,} is no request; see 'slackwater validate {file}'") from error
        each = seen.setdefault(body.model, _Seen())
        each.requests += 1
        each.sample.offer(line)
        each.output_max = None if body.most is None or each.output_max is None else each.output_max + body.most
    if not seen:
        raise InvalidRequest(f"{file} has no requests")
    return seen


def _of_model(name: str, seen: _Seen, price: Price | None, tokenizer: str, answer: int | None) -> dict[str, Any]:
    from slackwater.adapters.work.tiktoken_counter import TiktokenCounter

    tokens = seen.sample.tokens(TiktokenCounter(tokenizer))
    output = seen.output_max if answer is None else answer * seen.requests
    amount = price.amount(input_tokens=tokens, cached_tokens=0, output_tokens=output or 0) if price else None
    return {
        "model": name,
        "requests": seen.requests,
        "input_tokens": tokens,
        "output_tokens": output,
        "cost": None if amount is None else written(amount),
        "currency": price and price.currency,
    }


def _row(model: dict[str, Any]) -> list[str]:
    return ["" if value is None else str(value) for value in model.values()]


def _prices(
    config: Path | None, price: tuple[int, int] | None, currency: str, discount: int
) -> tuple[Mapping[str, Price], Mapping[str, str]]:
    """The price list, and the model behind each name that lines may have."""
    if price is not None:
        each = Price(currency=currency, input=price[0], cached_input=price[0], output=price[1], discount=discount)
        return {"*": each}, {}
    if config is None:
        return {}, {}
    from slackwater.config import load, price_list

    loaded = load(config, _NoSecrets())
    return price_list(loaded.billing, loaded.prices), {each.name: each.model for each in loaded.deployments}


def _speed(asked: Asked, models: set[str]) -> float | None:
    """Requests a second of the server's last batches for these models; None where it has had none, or is away."""
    with api_of(asked) as api:
        try:
            return _measured(api, models)
        except CallFailed as failed:
            note(f"no time without the server: {failed.message}")
            return None


def _measured(api: "Api", models: set[str]) -> float | None:
    ended = [each for each in itertools.islice(api.batches(), BATCHES_SEEN) if each.get("status") == "completed"]
    # A batch says which model answered, where it says anything: that may have another name than the deployment.
    alike = [each for each in ended if each.get("model") in models] or ended
    requests, seconds = 0, 0.0
    for batch in alike[:BATCHES_USED]:
        begun, done = batch.get("in_progress_at"), batch.get("finalizing_at") or batch.get("completed_at")
        if begun is not None and done is not None:
            requests += (batch.get("request_counts") or {}).get("total") or 0
            # Moments are whole seconds; what begins and ends in one took part of it.
            seconds += max(done - begun, 0.5)
    if not requests:
        note("no time: the server has completed no batch yet; say --rate")
        return None
    return requests / seconds
