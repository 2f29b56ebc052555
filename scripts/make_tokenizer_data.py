"""Packs tiktoken's rank files for shipping: `make_tokenizer_data.py DIRECTORY_WITH_TIKTOKEN_CACHE_FILES`.

The files are those that tiktoken itself downloads, under its cache names; their hashes are checked against the ones that
tiktoken checks. The PyPI wheel of litellm has both: `pip download --no-deps litellm`, then unzip
`litellm/litellm_core_utils/tokenizers/*`. What is packed, and how, is in `slackwater.adapters.work.tiktoken_counter`.
"""

import base64
import hashlib
import struct
import sys
import zlib
from pathlib import Path

import tiktoken_ext.openai_public as encodings

TARGET = Path(__file__).parent.parent / "src" / "slackwater" / "adapters" / "work" / "tokenizers"
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


def pattern_of(encoding: str) -> str:
    """The splitting pattern, from tiktoken's code; its loader of ranks, which would go to the network, is left out."""
    encodings.load_tiktoken_bpe = lambda *_, **__: {b"": 0}
    pattern: str = encodings.ENCODING_CONSTRUCTORS[encoding]()["pat_str"]
    return pattern


def pack(tokens: list[bytes], pattern: str) -> bytes:
    """The tokens, which are given in rank order, as the counter reads them: sorted, so that one is found in some steps."""
    order = sorted(range(len(tokens)), key=tokens.__getitem__)
    in_order = [tokens[rank] for rank in order]
    # Tokens that white space divides, or that have nothing else: the counter cannot tell cheaply whether they occur.
    spaced = [place for place, token in enumerate(in_order) if len(token.split()) != 1]
    text = pattern.encode()
    return b"".join(
        (
            struct.pack("<III", len(text), len(tokens), len(spaced)),
            text,
            struct.pack(f"<{len(spaced)}I", *spaced),
            # A plane for each byte of the ranks: they are packed in a fifth less than side by side.
            *(bytes(rank >> shift & 0xFF for rank in order) for shift in (0, 8, 16)),
            bytes(map(len, in_order)),
            *in_order,
        )
    )


def main() -> None:
    source = Path(sys.argv[1])
    for encoding, (name, sha256) in FILES.items():
        data = (source / name).read_bytes()
        if hashlib.sha256(data).hexdigest() != sha256:
            sys.exit(f"{name} is not the file that tiktoken expects")
        lines = [line.split() for line in data.splitlines()]
        # Ranks are dense and in order, so they need not be stored.
        assert [int(rank) for _, rank in lines] == list(range(len(lines)))
        target = TARGET / f"{encoding}.z"
        target.write_bytes(
            zlib.compress(pack([base64.b64decode(token) for token, _ in lines], pattern_of(encoding)), 9)
        )
        print(f"{target.name}: {target.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
