"""The endpoints of batches, and how urls of input lines are compared with them (spec 4.1).

The vendors' list is OpenAI's, as `batch_create_params` of openai-python 3.54.0 (17 November 2026) and its Batch guide have it;
Azure documents chat completions and responses alone (learn.microsoft.com, "Azure OpenAI batch", 19 March 2026). What engines
serve beside is vLLM's (`/rerank`, `/score`, `/messages`, `/audio/speech`), which SGLang, llama.cpp and Ollama have in parts.
"""

CHAT, COMPLETIONS, EMBEDDINGS = "/chat/completions", "/completions", "/embeddings"
RESPONSES, MODERATIONS, MESSAGES = "/responses", "/moderations", "/messages"
IMAGES, IMAGE_EDITS, VIDEOS, SPEECH = "/images/generations", "/images/edits", "/videos", "/audio/speech"
RERANK, SCORE = "/rerank", "/score"

# The endpoints that a batch may ask for, without version, and the key that a body cannot do without.
REQUIRED_KEY = {
    CHAT: "messages",
    COMPLETIONS: "prompt",
    EMBEDDINGS: "input",
    RESPONSES: "input",
    MODERATIONS: "input",
    IMAGES: "prompt",
    IMAGE_EDITS: "prompt",
    VIDEOS: "prompt",
    MESSAGES: "messages",
    RERANK: "query",
    SCORE: "text_1",
    SPEECH: "input",
}
# What a deployment offers that does not say what: models of language have these. The others are of models of other kinds, or of
# some engines only, and have to be named.
USUAL = (CHAT, COMPLETIONS, EMBEDDINGS, RESPONSES, MODERATIONS)
# The same under another version: Cohere's, which vLLM serves, too.
ALIASES = {"/v2/rerank": RERANK}
# Stands for an endpoint where each line has its own, which servers do not offer.
EVERY_ENDPOINT = "*"
# The Assistants API keeps its state on the server, which is nothing for a batch (spec 8.1).
ASSISTANTS = ("assistants", "threads")
NO_ASSISTANTS = (
    "Assistants and threads are not supported in a batch. Use /v1/chat/completions or /v1/responses instead."
)


def normalised(url: str) -> str:
    """A url without one leading `/openai`, one leading `/v1` (in any order) and a slash at the end (spec 4.1)."""
    prefixes = ["/openai", "/v1"]
    while prefix := next((each for each in prefixes if url.startswith(each + "/")), None):
        prefixes.remove(prefix)
        url = url[len(prefix) :]
    url = url.rstrip("/") or "/"
    return ALIASES.get(url, url)


def versioned(url: str) -> str:
    """The endpoint of a batch in OpenAI's family whose lines have this url: with a version, as that family compares it."""
    return url if url in ALIASES else f"/v1{normalised(url)}"


def of_assistants(url: str) -> bool:
    """Whether a url belongs to the Assistants API."""
    return normalised(url).removeprefix("/").partition("/")[0] in ASSISTANTS
