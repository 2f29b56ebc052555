"""`prepare` and `join`: tables become requests, and answers stand beside their rows."""

import base64
import csv
import gzip
import io
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from slackwater.cli.join import command as join
from slackwater.cli.prepare import command as prepare

ROWS = [{"id": "a", "text": 'one, "two"'}, {"id": "b", "text": "three\nfour"}, {"id": "c", "text": "süß {x} 😀"}]
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR4nGNgYGBgAAAABQABh6FO1AAAAABJRU5ErkJggg=="
)


def made(path: Path, *options: str, given: bytes | None = None) -> Result:
    return CliRunner().invoke(prepare, [str(path), "-m", "m", *options], input=given, catch_exceptions=False)


def joined(*words: object) -> Result:
    return CliRunner().invoke(join, [str(each) for each in words], catch_exceptions=False)


def as_csv(rows: list[dict[str, str]], **how: Any) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), lineterminator="\r\n", **how)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def parquet(path: Path) -> None:
    import pyarrow
    from pyarrow import parquet as files

    files.write_table(pyarrow.Table.from_pylist(ROWS), path)


FORMS: list[tuple[str, bytes | Callable[[Path], None]]] = [
    ("in.csv", as_csv(ROWS).encode()),
    ("in.csv", as_csv(ROWS).encode("utf-8-sig")),
    ("in.csv", as_csv(ROWS).encode("utf-16")),
    ("in.csv", as_csv(ROWS, delimiter=";").encode()),
    ("in.tsv", as_csv(ROWS, delimiter="\t").encode()),
    ("in.jsonl", "".join(json.dumps(row) + "\n\n" for row in ROWS).encode()),
    ("in.json", json.dumps(ROWS, indent=2, ensure_ascii=False).encode()),
    ("in.json", json.dumps(ROWS).encode()),
    ("in.csv.gz", gzip.compress(as_csv(ROWS).encode(), mtime=0)),
    ("in.parquet", parquet),
]


@pytest.mark.parametrize(("name", "data"), FORMS, ids=[f"{name}-{number}" for number, (name, _) in enumerate(FORMS)])
def test_every_form(tmp_path: Path, name: str, data: bytes | Callable[[Path], None]) -> None:
    """The same rows in each form make the same requests, and their answers come back beside the same rows."""
    path = tmp_path / name
    if isinstance(data, bytes):
        path.write_bytes(data)
    else:
        data(path)
    done = made(path, "-t", "Say {text}", "-o", str(tmp_path / "requests.jsonl"))
    assert done.exit_code == 0, done.output
    lines = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_bytes().splitlines()]
    assert [line["custom_id"] for line in lines] == ["row-1", "row-2", "row-3"]
    assert [line["body"]["messages"][0]["content"] for line in lines] == [f"Say {row['text']}" for row in ROWS]
    answers(tmp_path / "out.jsonl", {f"row-{number}": f"to {number}" for number in (3, 1, 2)})
    done = joined(path, tmp_path / "out.jsonl", "-o", tmp_path / "back.json")
    assert done.exit_code == 0, done.output
    back = json.loads((tmp_path / "back.json").read_bytes())
    expected = [{**row, "answer": f"to {number}", "error": ""} for number, row in enumerate(ROWS, 1)]
    assert back == expected


def answers(path: Path, of: dict[str, Any]) -> None:
    """An output file; what is no text is an answer as JSON."""
    with path.open("w") as out:
        for custom_id, each in of.items():
            content = each if isinstance(each, str) else json.dumps(each)
            body = {"choices": [{"message": {"content": content}, "finish_reason": "stop"}]}
            out.write(json.dumps({"custom_id": custom_id, "response": {"status_code": 200, "body": body}}) + "\n")


def failures(path: Path, of: dict[str, str]) -> None:
    with path.open("w") as out:
        for custom_id, message in of.items():
            body = {"error": {"message": message, "code": "no"}}
            out.write(json.dumps({"custom_id": custom_id, "response": {"status_code": 400, "body": body}}) + "\n")


def test_plain_text_and_standard_input(tmp_path: Path) -> None:
    """A line is a row; standard input says what it is."""
    (tmp_path / "in.txt").write_text("first\n\n  second \r\n")
    done = made(tmp_path / "in.txt", "-o", "-")
    contents = [json.loads(line)["body"]["messages"][0]["content"] for line in done.stdout.splitlines()]
    assert contents == ["first", "  second "]
    done = made(Path("-"), "-o", "-", "--format", "jsonl", given=b'{"prompt": "p"}\n"only text"\n')
    assert done.exit_code == 2, "a text has no column 'prompt'"
    done = made(Path("-"), "-o", "-", "--format", "jsonl", given=b'{"prompt": "p"}\n')
    assert json.loads(done.stdout)["body"]["messages"][0]["content"] == "p"
    done = made(Path("-"), "-o", "-", given=b"x")
    assert (done.exit_code, "--format" in done.stderr) == (2, True)


def test_a_long_array_in_small_pieces(tmp_path: Path) -> None:
    """Elements that are larger than what is read at once, in any spacing, are whole; seeded."""
    pick = random.Random(5)
    rows = [
        {"text": pick.choice(['é"\\]},', "x"]) * pick.choice([1, 20_000, 70_000]), "n": pick.random()}
        for _ in range(60)
    ]
    text = (
        "\n\n ["
        + ",".join(pick.choice(["", " ", "\n"]) + json.dumps(row) + pick.choice(["", " \n"]) for row in rows)
        + "]\n"
    )
    (tmp_path / "in.json").write_text(text)
    done = made(tmp_path / "in.json", "-o", str(tmp_path / "out.jsonl"))
    assert done.exit_code == 0, done.output
    found = [json.loads(line)["body"]["messages"][0]["content"] for line in (tmp_path / "out.jsonl").open()]
    assert found == [row["text"] for row in rows]


@pytest.mark.parametrize(
    ("name", "data", "options", "said"),
    [
        ("in.csv", b"a,text\n1,2\n3\n", (), "row 2, which ends in line 3, has 1 cells, and there are 2 columns"),
        ("in.csv", b'a,text\n1,"open\n', (), "row 1, about line 2, is no CSV"),
        ("in.csv", b"a,a\n1,2\n", (), "two columns 'a'"),
        ("in.csv", b"text\nz\xfc\n", (), "--encoding"),
        ("in.csv", b"text\nx\n", ("--encoding", "klingon"), "no encoding 'klingon'"),
        ("in.csv", b"", (), "has no rows"),
        ("in.csv", b"text\n", (), "has no rows"),
        ("in.csv", b"id,satz\n1,x\n", (), "--template: its columns are {id}, {satz}"),
        ("in.csv", b"text\nx\n", ("-t", "{txt}"), "there is no column 'txt'; there is text"),
        ("in.csv", b"text\nx\n", ("--id-column", "id"), "there is no column 'id'"),
        ("in.csv", b"id,text\n1,x\n1,y\n", ("--id-column", "id"), "row 2: 'id' is '1' in an earlier row"),
        ("in.csv", b"id,text\n1,x\n ,y\n", ("--id-column", "id"), "row 2: 'id' is empty"),
        ("in.csv", b"text\nx\n", ("--delimiter", "ab"), "one character"),
        ("in.csv", b"text\nx\n", ("--endpoint", "talk"), "--endpoint talk"),
        ("in.csv", b"text\nx\n", ("-t", "@nowhere.txt"), "nowhere.txt"),
        ("in.csv", b"text,p\nx,none.png\n", ("--image", "p"), "paths are looked for beside INPUT"),
        ("in.csv", b"text,p\nx,in.csv\n", ("--image", "p"), "neither PNG"),
        ("in.csv", b"text,p\nx,.\n", ("--image", "p"), "is no file"),
        ("in.jsonl", b'{"text": "x"}\n{"text": \n', (), "line 2 is no JSON"),
        ("in.jsonl", b'{"text": "x"}\n{"txt": 1}\n', (), "row 2: there is no column 'text'; there is txt"),
        ("in.jsonl", b"7\n", (), "row 1 is neither an object nor a text"),
        ("in.json", b'{"text": "x"}', (), "no JSON array"),
        ("in.json", b'[{"text": "x"}', (), "neither a comma nor the end"),
        ("in.json", b'[{"text": "x"},]', (), "row 2 is no JSON"),
        ("in.json", b'[{"text": "x"', (), "row 1 is no JSON"),
        ("in.json", b"[" + b"[" * 100_000, (), "row 1 is no JSON"),
        ("in.parquet", b"PAR1 not really", (), "no Parquet file"),
        ("in.csv.gz", b"text\nx\n", (), ".gz"),
        ("in.csv.gz", gzip.compress(b"text\n" + b"x\n" * 9_000, mtime=0)[:-20], (), "no whole .gz"),
        ("in.xlsx", b"PK", (), "--format"),
    ],
)
def test_what_is_wrong(tmp_path: Path, name: str, data: bytes, options: tuple[str, ...], said: str) -> None:
    """One line that names the row and says what to do; nothing is written."""
    (tmp_path / name).write_bytes(data)
    done = made(tmp_path / name, "-o", str(tmp_path / "out.jsonl"), *options)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_a_file_is_not_replaced_unasked(tmp_path: Path) -> None:
    """Nor its own input, whatever is asked."""
    (tmp_path / "in.jsonl").write_text('{"text": "x"}\n')
    (tmp_path / "there.jsonl").write_text("precious")
    assert made(tmp_path / "in.jsonl", "-o", str(tmp_path / "there.jsonl")).exit_code == 2
    assert made(tmp_path / "in.jsonl", "-o", str(tmp_path / "in.jsonl"), "--overwrite").exit_code == 2
    assert (tmp_path / "in.jsonl").read_text() == '{"text": "x"}\n'
    assert made(tmp_path / "in.jsonl", "-o", str(tmp_path / "there.jsonl"), "--overwrite").exit_code == 0


def test_pictures(tmp_path: Path) -> None:
    """Files beside the table become data URLs, addresses stay, an empty cell is none."""
    (tmp_path / "in.csv").write_text("text,path\na,pics/one.png\nb,https://example.org/x.jpg\nc,\n")
    (tmp_path / "pics").mkdir()
    (tmp_path / "pics" / "one.png").write_bytes(PNG)
    done = made(tmp_path / "in.csv", "-o", "-", "--image", "path")
    contents = [json.loads(line)["body"]["messages"][0]["content"] for line in done.stdout.splitlines()]
    assert contents[0][1]["image_url"]["url"] == "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert contents[1][1]["image_url"]["url"] == "https://example.org/x.jpg"
    assert contents[2] == "c"


def test_empty_rows_a_preview_and_a_trial(tmp_path: Path) -> None:
    """What is asked nothing is said, or left out; rows keep their numbers; a preview writes nothing."""
    (tmp_path / "in.csv").write_text("id,text\n1,a\n2, \n3,c\n")
    out = tmp_path / "out.jsonl"
    assert "1 row has nothing" in made(tmp_path / "in.csv", "-o", str(out)).stderr
    assert made(tmp_path / "in.csv", "-o", str(out), "--overwrite", "--skip-empty").exit_code == 0
    assert [json.loads(line)["custom_id"] for line in out.open()] == ["row-1", "row-3"]
    assert made(tmp_path / "in.csv", "-o", str(out), "--overwrite", "--limit", "2").exit_code == 0
    assert [json.loads(line)["custom_id"] for line in out.open()] == ["row-1", "row-2"]
    out.unlink()
    assert json.loads(made(tmp_path / "in.csv", "--preview").stdout)["body"]["messages"][0]["content"] == "a"
    assert not out.exists()
    assert made(tmp_path / "in.csv").exit_code == 2, "it does not know where to"


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_structured_answers_become_columns(tmp_path: Path) -> None:
    """A column for each field that any answer has; names that the table has already get a word before them."""
    (tmp_path / "in.csv").write_text("text,mood\n" + "".join(f"t{number},old\n" for number in range(1, 21)))
    found: dict[str, Any] = {f"row-{number}": {"mood": "new", "n": number} for number in range(1, 20)}
    found["row-20"] = "I had rather not say."
    found["row-7"]["more"] = ["x"]
    answers(tmp_path / "out.jsonl", found)
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "back.csv")
    assert done.exit_code == 0, done.output
    back = table(tmp_path / "back.csv")
    assert list(back[0]) == ["text", "mood", "answer.mood", "n", "more", "answer", "error"]
    assert back[0] == {
        "text": "t1",
        "mood": "old",
        "answer.mood": "new",
        "n": "1",
        "more": "",
        "answer": "",
        "error": "",
    }
    assert back[6]["more"] == '["x"]'
    assert (back[19]["answer"], back[19]["error"]) == ("I had rather not say.", "the answer is no JSON object")
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "flat.csv", "--no-fields")
    assert list(table(tmp_path / "flat.csv")[0]) == ["text", "mood", "answer", "error"]


def test_some_failed_some_are_missing(tmp_path: Path) -> None:
    """Each says so in its row, and the exit code does; an answer is stronger than an earlier failure, the last of two counts."""
    (tmp_path / "in.csv").write_text("text\na\nb\nc\nd\n")
    answers(tmp_path / "out.jsonl", {"row-1": "first", "row-9": "nobody's"})
    with (tmp_path / "out.jsonl").open("a") as out:
        out.write((tmp_path / "out.jsonl").read_text().splitlines()[0].replace("first", "latest") + "\n")
    failures(tmp_path / "out.errors.jsonl", {"row-1": "earlier", "row-2": "too long"})
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "back.csv")
    assert done.exit_code == 1
    assert "4 rows, 1 answered, 1 failed, 2 without an answer" in done.stderr
    assert "1 results belong to no row" in done.stderr
    back = table(tmp_path / "back.csv")
    assert [row["answer"] for row in back] == ["latest", "", "", ""]
    assert back[0]["error"] == ""
    assert back[1]["error"] == "400 no: too long"
    assert back[2]["error"].startswith("no answer")


def test_files_that_do_not_belong_together(tmp_path: Path) -> None:
    """No row has an answer: nothing is written, and the column that would fit is named."""
    (tmp_path / "in.csv").write_text("ticket,text\nT-1,a\nT-2,b\n")
    answers(tmp_path / "out.jsonl", {"T-1": "x", "T-2": "y"})
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "back.csv")
    assert (done.exit_code, "give --id-column ticket" in done.stderr) == (2, True)
    done = joined(tmp_path / "in.csv", tmp_path / "in.csv", "-o", tmp_path / "back.csv")
    assert (done.exit_code, "line 1 is no line of a results file" in done.stderr) == (2, True)
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "back.xlsx")
    assert (done.exit_code, ".parquet" in done.stderr) == (2, True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.csv", "out.jsonl"]
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "back.csv", "--id-column", "ticket")
    assert (done.exit_code, [row["answer"] for row in table(tmp_path / "back.csv")]) == (0, ["x", "y"])


def test_parquet_back(tmp_path: Path) -> None:
    """Numbers stay numbers; a field that is of two kinds is text."""
    from pyarrow import parquet as files

    (tmp_path / "in.jsonl").write_text('{"n": 1}\n{"n": 2}\n')
    answers(tmp_path / "out.jsonl", {"row-1": {"score": 3, "odd": 1}, "row-2": {"score": 4, "odd": "x"}})
    done = joined(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "-o", tmp_path / "back.parquet")
    assert done.exit_code == 0, done.output
    back = files.read_table(tmp_path / "back.parquet").to_pylist()
    assert back == [
        {"n": 1, "score": 3, "odd": "1", "error": ""},
        {"n": 2, "score": 4, "odd": "x", "error": ""},
    ]


@pytest.mark.parametrize("seed", range(3))
def test_any_order_any_values(tmp_path: Path, seed: int) -> None:
    """However answers are ordered and whatever ids and cells hold, each comes to its row, and the row is as it was."""
    pick = random.Random(seed)
    letters = "aé,;\"'\n\r\t{}=+-@😀 \\"
    rows = [
        {"key": f"{number}{''.join(pick.choices('aé,' + chr(34), k=5))}", "text": "".join(pick.choices(letters, k=30))}
        for number in range(300)
    ]
    (tmp_path / "in.csv").write_text(as_csv(rows), newline="")
    ids = [row["key"].strip() for row in rows]
    order = list(zip(ids, rows, strict=True))
    pick.shuffle(order)
    answers(tmp_path / "out.jsonl", {key: f"re: {row['text']}" for key, row in order})
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "back.csv", "--id-column", "key")
    assert done.exit_code == 0, done.output
    back = table(tmp_path / "back.csv")
    assert [(row["key"], row["text"], row["answer"]) for row in back] == [
        (row["key"], row["text"], f"re: {row['text']}") for row in rows
    ]


def test_fields_with_our_own_names(tmp_path: Path) -> None:
    """A schema may have fields `answer` and `error`, and the table, too: no column is there twice, and none is lost."""
    answers(tmp_path / "out.jsonl", {"row-1": {"answer": "A", "error": "E", "text": "T"}})
    (tmp_path / "in.csv").write_text("text\nx\n")
    assert joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "back.csv").exit_code == 0
    assert table(tmp_path / "back.csv") == [
        {"text": "x", "answer.answer": "A", "answer.error": "E", "answer.text": "T", "error": ""}
    ]
    (tmp_path / "in.csv").write_text("text,error\nx,y\n")
    done = joined(tmp_path / "in.csv", tmp_path / "out.jsonl", "-o", tmp_path / "two.csv")
    assert (done.exit_code, "--no-fields" in done.stderr) == (2, True)
