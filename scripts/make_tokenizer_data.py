"""Packs tiktoken's rank files for shipping: `make_tokenizer_data.py DIRECTORY_WITH_TIKTOKEN_CACHE_FILES`.

The files are those that tiktoken itself downloads, under its cache names; their hashes are checked against the ones that
tiktoken checks. Packed: the splitting pattern behind its length in two bytes, then the token bytes in rank order, each
behind its length in one byte, all compressed. Loading that is several times faster than decoding base64 line by line.
"""

import base64
import hashlib
import sys
import zlib
from pathlib import Path

import tiktoken_ext.openai_public as encodings

TARGET = Path(__file__).parent.parent / "src" / "slackwater" / "adapters" / "tokenizers"
FILES = {
    "o200k_base": (
        "fb374d419588a4632f3f557e76b4b70aebbca790",
        "446a9538cb6c348e3516120d7c08b09f57c36495e2acfffe59a5bf8b0cfb1a2d",
    ),
    "cl100k_base": (
        "9b5ad71b2ce5302211f9c61530b329a4922fc6a4",
        "223921b76ee99bde995b7ff738513eef100fb51d18c93597a113bcffe865b2a7",
    ),
}


def main() -> None:
    source = Path(sys.argv[1])
    for encoding, (name, sha256) in FILES.items():
        data = (source / name).read_bytes()
        assert hashlib.sha256(data).hexdigest() == sha256, f"{name} is not the file that tiktoken expects"
        # The pattern is in tiktoken's code; its loader of ranks is the only part that would go to the network.
        encodings.load_tiktoken_bpe = lambda *_, **__: {b"": 0}
        pattern = encodings.ENCODING_CONSTRUCTORS[encoding]()["pat_str"].encode()
        packed = bytearray(len(pattern).to_bytes(2, "big") + pattern)
        for expected, line in enumerate(data.splitlines()):
            token, rank = line.split()
            assert int(rank) == expected, "ranks are dense and in order"
            text = base64.b64decode(token)
            packed += bytes([len(text)]) + text
        target = TARGET / f"{encoding}.z"
        target.write_bytes(zlib.compress(bytes(packed), 9))
        print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
