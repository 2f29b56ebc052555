"""The endpoints of batches, and how urls of input lines are compared with them (spec 4.1)."""

# The endpoints that a batch may ask for, without version, and the key that a body cannot do without.
REQUIRED_KEY = {
    "/chat/completions": "messages",
    "/completions": "prompt",
    "/embeddings": "input",
    "/responses": "input",
    "/moderations": "input",
}
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
    return url.rstrip("/") or "/"


def of_assistants(url: str) -> bool:
    """Whether a url belongs to the Assistants API."""
    return normalised(url).removeprefix("/").partition("/")[0] in ASSISTANTS
