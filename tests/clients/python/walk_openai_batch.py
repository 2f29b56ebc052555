"""The road of a batch with openai-batch. Started by tests/clients/test_packages.py."""

import json
import os
import tempfile
from pathlib import Path

from openai_batch import Batch
from openai_batch.providers import Provider

MODEL = "meta-llama/Llama-3.1-8B"
QUESTIONS = [f"When does tide {number} turn?" for number in range(3)]
provider = Provider(base_url=os.environ["SLACKWATER_URL"] + "/v1", api_key=os.environ["SLACKWATER_KEY"])

with tempfile.TemporaryDirectory() as folder:
    paths = [f"{folder}/{name}.jsonl" for name in ("in", "out", "errors")]
    with Batch(*paths, provider=provider) as batch:
        for question in QUESTIONS:
            batch.add_to_batch(model=MODEL, messages=[{"role": "user", "content": question}])
    # This version cannot send the file that it has just written; its command takes a written one, too.
    with Batch(*paths, provider=provider) as batch:
        result, output, _ = batch.submit_wait_download(interval=0.05)
    assert result.status == "completed", result
    lines = [json.loads(line) for line in Path(output).read_text().splitlines()]
answers = {line["custom_id"]: line["response"]["body"]["choices"][0]["message"]["content"] for line in lines}
assert len(answers) == len(QUESTIONS), answers
for number, question in enumerate(QUESTIONS, start=1):
    assert answers[f"line-{number}"].startswith(f"Echo of: {question}\n"), answers
print("openai-batch")
