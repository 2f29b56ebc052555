"""The road of a batch with gpt-batch-api: a task of its own kind, from its samples to its file of answers. Started by
tests/clients/test_packages.py.

Batches only: with few requests, and for what is left at the end, it may call the online API instead, which a batch server
does not have, so it is told not to.
"""

import json
import os
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import tiktoken

# It counts tokens with a vocabulary that tiktoken would fetch: one of single bytes stands for it.
BYTES = {bytes([value]): value for value in range(256)}
tiktoken.get_encoding = lambda name: tiktoken.Encoding(
    name, pat_str=r"[\s\S]", mergeable_ranks=BYTES, special_tokens={}
)

from gpt_batch_api import gpt_requester, task_manager  # noqa: E402

QUESTIONS = {f"tide-{number}": f"When does tide {number} turn?" for number in range(5)}


@dataclass
class Answers:
    """What the task writes."""

    texts: dict[str, str] = field(default_factory=dict)


class Output(task_manager.DataclassOutputFile):
    """The file that it is written to."""

    Dataclass = Answers


class Tides(task_manager.TaskManager):
    """A question for each sample."""

    def __init__(self, folder: str) -> None:
        super().__init__(
            task_dir=folder,
            name_prefix="tides",
            output_factory=Output.output_factory(),
            init_meta={},
            wandb=False,
            openai_api_key=os.environ["SLACKWATER_KEY"],
            client_base_url=os.environ["SLACKWATER_URL"] + "/v1",
            endpoint="/v1/chat/completions",
            remote_update_interval=1.0,
            min_batch_requests=1,
        )

    def wipe_unfinished(self, wipe_failed, rstack):
        return False

    def generate_requests(self):
        for key, question in QUESTIONS.items():
            if key not in self.T.committed_samples:
                messages = [{"role": "user", "content": question}]
                payload = {"model": "meta-llama/Llama-3.1-8B", "max_completion_tokens": 50, "messages": messages}
                # Without one it stumbles over itself.
                payload["response_format"] = {"type": "text"}
                self.GR.add_request(gpt_requester.GPTRequest(payload=payload, meta={"key": key}))
        return True

    def commit_cached_request(self, cached_req):
        self.T.committed_samples[cached_req.item.req.meta["key"]] = None

    def cached_request_keys(self, cached_reqs):
        return {each.item.req.meta["key"] for each in cached_reqs}

    def process_batch_result(self, result, rstack):
        for info in result.info.values():
            assert info.err_info is None, info.err_info
            key = info.req_info.meta["key"]
            self.T.succeeded_samples[key] = None
            self.D.texts[key] = info.resp_info.payload.choices[0].message.content
        return True


with tempfile.TemporaryDirectory() as folder:
    assert Tides(folder).run()
    texts = json.loads((Path(folder) / "tides_output.json").read_text())["texts"]
assert sorted(texts) == sorted(QUESTIONS), texts
for key, text in texts.items():
    assert text.startswith(f"Echo of: {QUESTIONS[key]}\n"), text
print("gpt-batch-api")
