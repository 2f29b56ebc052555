"""The road of a batch with instructor, whose answers are objects. Started by tests/clients/test_packages.py."""

import os
import tempfile
import time

os.environ["OPENAI_BASE_URL"] = os.environ["SLACKWATER_URL"] + "/v1"
os.environ["OPENAI_API_KEY"] = os.environ["SLACKWATER_KEY"]

from instructor.batch import BatchProcessor
from pydantic import BaseModel


class Tide(BaseModel):
    """What is asked for."""

    name: str


processor = BatchProcessor("openai/meta-llama/Llama-3.1-8B", Tide)
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "in.jsonl")
    processor.create_batch_from_messages([[{"role": "user", "content": "Which tide?"}]] * 3, file_path=path)
    batch_id = processor.submit_batch(path)
deadline = time.monotonic() + 60
while (state := processor.get_batch_status(batch_id)["status"]) not in ("completed", "failed"):
    assert time.monotonic() < deadline, state
    time.sleep(0.05)
results = processor.retrieve_results(batch_id)
assert [result.result.name for result in results] == ["echo"] * 3, results
print("instructor")
