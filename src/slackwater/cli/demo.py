"""`slackwater demo`: a whole batch, with a real server and the client that people already have."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import click

from slackwater.cli.output import free_name, safe
from slackwater.cli.progress import Progress, progress_bar
from slackwater.wiring.find_engine import Engine, find_engine, models_at, nobody_at

DEPLOYMENT = "demo-batch"
ANSWER_SHOWN = 80
REASONS_SHOWN, REASON_LENGTH_MAX = 5, 300
QUESTIONS = (
    "When was Microsoft founded?",
    "When was the first XBOX released?",
    "What is Altair Basic?",
    "Why is the sea salty?",
    "What makes the tides?",
    "What is slack water?",
    "How does a lighthouse lens work?",
    "Why do ships have round windows?",
    "Who wrote Moby-Dick?",
    "How deep is the Mariana Trench?",
    "What is a knot, in miles per hour?",
    "Why does ice float?",
)


def questions() -> str:
    """The demo's input, as examples/questions.jsonl has it."""
    system = {"role": "system", "content": "You are an AI assistant that helps people find information."}
    lines = []
    for number, question in enumerate(QUESTIONS):
        body = {"model": DEPLOYMENT, "messages": [system, {"role": "user", "content": question}]}
        line = {"custom_id": f"task-{number}", "method": "POST", "url": "/chat/completions", "body": body}
        lines.append(json.dumps(line, ensure_ascii=False))
    return "\n".join(lines) + "\n"


@click.command("demo")
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--backend", metavar="URL", help="Use this engine, such as http://127.0.0.1:8000/v1.")
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="Where the results go.  [default: slackwater-demo]"
)
@click.option(
    "--studio/--no-studio",
    default=None,
    help="Go on serving Studio afterwards, until Ctrl-C.  [default: on a terminal]",
)
def command(file: Path | None, backend: str | None, keep: Path | None, studio: bool | None) -> None:
    """See a whole batch go through: start a server, upload FILE, create a batch, wait, download, stop the server.

    On a terminal the server stays until Ctrl-C, so that the batch can be seen in Studio, and one of your own be made there.

    It uses the engine at --backend, or one that runs on a usual port of this machine (Ollama, vLLM, SGLang, llama.cpp,
    LM Studio), or else the built-in backend, which needs no model. Without FILE it asks a dozen questions of its own.
    """
    try:
        import openai
    except ImportError:
        _fail(
            f"the demo uses the `openai` package; put it beside slackwater: {sys.executable} -m pip install openai "
            "(or: pipx inject slackwater openai; uv tool install --with openai .)"
        )
    engine = asyncio.run(_engine(backend))
    results = keep or Path("slackwater-demo")
    results.mkdir(parents=True, exist_ok=True)
    if file is None:
        file = results / "questions.jsonl"
        file.write_text(questions(), "utf-8")
    deployment, endpoint = _asked_for(file)
    _say_who_answers(engine)
    with tempfile.TemporaryDirectory(prefix="slackwater-demo-") as scratch:
        server, url = _start_server(Path(scratch), deployment, engine)
        try:
            client = openai.AzureOpenAI(azure_endpoint=url, api_key="any-key", api_version="2024-10-21")
            batch = _walk_through(client, file, endpoint)
            paths = _download(client, batch, results)
            _table(paths["output"])
            _say_failures(paths.get("error"))
            for kind, path in paths.items():
                click.echo(f"{kind:>7} file: {path} ({path.stat().st_size:,} bytes)")
            if sys.stdout.isatty() if studio is None else studio:
                _stay(server, f"{url}/studio/batches/{batch.id}")
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(timeout=30)
    _say_command()
    if batch.status != "completed" or batch.request_counts.failed:
        sys.exit(1)


def _say_command() -> None:
    """How to go on: the command for a file of one's own, as this shell finds it."""
    click.echo("\nYour own file, against your own engine: slackwater run FILE -o answers.jsonl --backend URL")
    program = Path(sys.executable).with_name("slackwater")
    if shutil.which("slackwater") is None and program.exists():
        click.echo(f'The command is not on your path yet: export PATH="{program.parent}:$PATH"')


def _fail(message: str) -> None:
    click.echo(f"error: {message}", err=True)
    sys.exit(2)


async def _engine(backend: str | None) -> Engine | None:
    if backend is None:
        return await find_engine()
    models = await models_at(backend)
    if models is None and (away := await nobody_at(backend)):
        _fail(f"nothing answers at {backend}: {away}. Is the engine running, and is the address right?")
    if not models:
        _fail(f"{backend}/models does not list a model. Does the URL end in /v1?")
    return Engine(usual="the engine", url=backend, models=models or [])


def _say_who_answers(engine: Engine | None) -> None:
    if engine is None:
        click.echo("No engine answers on the usual ports of this machine, so the built-in backend does.")
        click.echo("It is no model: it repeats the question. Start an engine, or give --backend URL, for real answers.")
    else:
        click.echo(f"Using {engine.usual} at {engine.url} with its model {engine.models[0]}.")


def _asked_for(file: Path) -> tuple[str, str]:
    """The model and the url of the file's first line: the demo serves exactly that deployment, and creates that batch."""
    model, url = DEPLOYMENT, "/chat/completions"
    try:
        with file.open("rb") as lines:
            first = json.loads(next(line for line in lines if line.strip()))
        url = str(first["url"])
        model = str(first["body"]["model"]) or model
    except (StopIteration, ValueError, KeyError, TypeError):
        # The server will say what is wrong with the file, with line numbers.
        return model, url
    return model, url


def _start_server(scratch: Path, deployment: str, engine: Engine | None) -> tuple[subprocess.Popen[str], str]:
    lines = ["[[deployments]]", f"name = {json.dumps(deployment)}", "[[deployments.backends]]"]
    if engine is None:
        lines.append("echo = { latency_seconds = 0.3 }")
        lines.append("concurrency = 4")
    else:
        lines += [f"url = {json.dumps(engine.url)}", f"model = {json.dumps(engine.models[0])}", "concurrency = 4"]
    config = scratch / "slackwater.toml"
    config.write_text("\n".join(lines) + "\n", "utf-8")
    arguments = ["serve", "--config", str(config), "--data", str(scratch / "data"), "--port", "0"]
    log = (scratch / "server.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "slackwater", *arguments],
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert server.stdout is not None
    first = server.stdout.readline()
    url = next((word.rstrip(",") for word in first.split() if word.startswith("http://")), None)
    if url is None:
        server.wait(timeout=10)
        _fail("the server did not start:\n" + (scratch / "server.log").read_text())
    click.echo(f"Server: {url}  (the service itself: slackwater serve)")
    return server, url or ""


def _walk_through(client: Any, file: Path, endpoint: str) -> Any:
    """The seed's steps, with the client as its users write it."""
    with file.open("rb") as data:
        uploaded = client.files.create(file=data, purpose="batch")
    click.echo(f"Uploaded {file.name}: {uploaded.id}, {uploaded.bytes:,} bytes")
    batch = client.batches.create(input_file_id=uploaded.id, endpoint=endpoint, completion_window="24h")
    click.echo(f"Created {batch.id}: {batch.status}")
    with progress_bar(file.name) as show:
        while batch.status not in ("completed", "failed", "cancelled", "expired"):
            time.sleep(0.25)
            batch = client.batches.retrieve(batch.id)
            counts = batch.request_counts
            tokens = batch.usage.total_tokens if batch.usage else 0
            show(
                Progress(done=counts.completed + counts.failed, total=counts.total, failed=counts.failed, tokens=tokens)
            )
    click.echo(f"Ended: {batch.status}, {batch.request_counts.completed} of {batch.request_counts.total} answered")
    if batch.status == "failed":
        for error in batch.errors.data:
            click.echo(f"  line {error.line}: {error.code}: {error.message}")
        sys.exit(1)
    return batch


def _stay(server: subprocess.Popen[str], address: str) -> None:
    """Keeps the server for somebody with a browser, until Ctrl-C."""
    click.echo(f"\nSee this batch in Studio, and make one of your own there: {address}")
    click.echo("Ctrl-C ends the demo and removes its data. To keep what you do, run: slackwater serve")
    sys.stdout.flush()
    # The server would outlive a demo that is ended from outside.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        server.wait()
    except KeyboardInterrupt:
        click.echo("\nThe demo has ended.")


def _download(client: Any, batch: Any, results: Path) -> dict[str, Path]:
    paths = {}
    for kind, file_id in (("output", batch.output_file_id), ("error", batch.error_file_id)):
        if file_id:
            paths[kind] = results / f"{kind}.jsonl"
            if paths[kind].exists() and paths[kind].stat().st_size:
                # Of an earlier demo: somebody may want it still.
                kept = free_name(paths[kind])
                paths[kind].rename(kept)
                click.echo(f"{paths[kind]} was there already; it is {kept} now")
            client.files.content(file_id).write_to_file(paths[kind])
    return paths


def _table(output: Path) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("custom_id", "status", "answer", "tokens")
    with output.open(encoding="utf-8") as lines:
        rows = sorted((json.loads(line) for line in lines), key=lambda row: (len(row["custom_id"]), row["custom_id"]))
    for row in rows[:15]:
        body = row["response"]["body"]
        tokens = str((body.get("usage") or {}).get("total_tokens", ""))
        table.add_row(
            row["custom_id"],
            str(row["response"]["status_code"]),
            " ".join(_answer(body).split())[:ANSWER_SHOWN],
            tokens,
        )
    Console().print(table)
    if len(rows) > 15:
        click.echo(f"... and {len(rows) - 15:,} more")


def _say_failures(errors: Path | None) -> None:
    """Why requests have no answer: each reason once, the most frequent first, with the requests that it is of."""
    if errors is None:
        return
    reasons: dict[str, list[str]] = {}
    with errors.open(encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            reasons.setdefault(_reason(row), []).append(str(row.get("custom_id")))
    for reason, ids in sorted(reasons.items(), key=lambda each: -len(each[1]))[:REASONS_SHOWN]:
        more = f" and {len(ids) - REASONS_SHOWN:,} more" if len(ids) > REASONS_SHOWN else ""
        click.echo(safe(f"not answered: {', '.join(ids[:REASONS_SHOWN])}{more}: {reason}"))


def _reason(row: dict[str, Any]) -> str:
    """What a line of an error file says, in words."""
    response = row.get("response") or {}
    body = response.get("body") or {}
    said = row.get("error") or (body.get("error") if isinstance(body, dict) else None) or body
    words = said.get("message") or said.get("code") if isinstance(said, dict) else said
    status = f"status {response['status_code']}: " if response.get("status_code") else ""
    return " ".join(f"{status}{words or 'no reason was given'}".split())[:REASON_LENGTH_MAX]


def _answer(body: dict[str, Any]) -> str:
    """The text of an answer, whatever endpoint gave it."""
    try:
        choice = body["choices"][0]
        return str(choice["message"]["content"] if "message" in choice else choice["text"])
    except (KeyError, IndexError, TypeError):
        return json.dumps(body, ensure_ascii=False)
