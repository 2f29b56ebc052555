"""What the built-in backend makes of rerank and score: how many words two texts share."""

from typing import Any

from slackwater.adapters.upstream.echo_words import text_in, words_in

# The names of the two sides of a score.
PAIRS = (("text_1", "text_2"), ("queries", "documents"), ("queries", "items"), ("data_1", "data_2"))


def likeness(one: str, other: str) -> float:
    """How many of the words of two texts are in both."""
    ours, theirs = set(one.lower().split()), set(other.lower().split())
    return len(ours & theirs) / (len(ours | theirs) or 1)


def document_text(document: Any) -> str:
    """The text of a document: a string, an object with one, or with parts."""
    return document if isinstance(document, str) else text_in(document.get("content") or [document])


def ranking(request: dict[str, Any], identity: str) -> dict[str, Any]:
    """The documents of a request, those first that are most like its query."""
    query, texts = document_text(request["query"]), [document_text(each) for each in request["documents"]]
    scored = sorted(enumerate(texts), key=lambda each: -likeness(query, each[1]))
    results = [
        {"index": index, "relevance_score": likeness(query, text), "document": {"text": text}} for index, text in scored
    ]
    asked = sum(words_in(text) + words_in(query) for text in texts)
    most = request.get("top_n") or len(results)
    usage = {"prompt_tokens": asked, "total_tokens": asked}
    return {"id": f"rerank-{identity}", "model": "echo", "results": results[:most], "usage": usage}


def scores(request: dict[str, Any], identity: str) -> dict[str, Any]:
    """How much alike the two sides of a request are, pair by pair, or one with each of the other side."""
    first, second = next((request[a], request[b]) for a, b in PAIRS if a in request and b in request)
    ones, others = ([side] if isinstance(side, str) else list(side) for side in (first, second))
    pairs = list(zip(ones * len(others) if len(ones) == 1 else ones, others, strict=True))
    data = [
        {"index": index, "object": "score", "score": likeness(one, other)} for index, (one, other) in enumerate(pairs)
    ]
    asked = sum(words_in(one) + words_in(other) for one, other in pairs)
    usage = {"prompt_tokens": asked, "total_tokens": asked, "completion_tokens": 0}
    return {"id": f"score-{identity}", "object": "list", "created": 0, "model": "echo", "data": data, "usage": usage}
