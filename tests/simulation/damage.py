"""What happens to the bytes of an input file after it was validated: a disk that forgets, somebody who edits."""

import json
import os
import random
from pathlib import Path


def damage(path: Path, chance: random.Random) -> set[str] | None:
    """Damages a file. Returns the texts of the lines that are no lines any more; None where that may be many of them."""
    data = path.read_bytes()
    if chance.random() < 0.3:
        os.truncate(path, chance.randrange(len(data)))
        return None
    lines = data.splitlines(keepends=True)
    number = chance.choice([number for number, line in enumerate(lines) if line.strip()])
    text = json.loads(lines[number])["body"]["messages"][0]["content"]
    at = chance.randrange(len(lines[number]) // 2)
    garbage = chance.choice((b"\xff\xfe\xff", b"\x00\x00\x00"))
    lines[number] = lines[number][:at] + garbage + lines[number][at + len(garbage) :]
    path.write_bytes(b"".join(lines))
    return {text}
