"""The road of a batch with steadybatch, which checks every object against a schema. Started by tests/clients/test_packages.py."""

import os

import openai
from steadybatch import Request, Runner
from steadybatch.providers.openai_batch import OpenAIBatch

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}},
    "required": ["name"],
    "additionalProperties": False,
}
client = openai.OpenAI(base_url=os.environ["SLACKWATER_URL"] + "/v1", api_key=os.environ["SLACKWATER_KEY"])
asked = [Request(key=f"tide-{number}", messages=[{"role": "user", "content": "Which?"}]) for number in range(3)]
runner = Runner(
    OpenAIBatch(client),
    "meta-llama/Llama-3.1-8B",
    response_schema=SCHEMA,
    poll_every=0.05,
    timeout=60,
    # It would send again what is missing or wrong.
    max_attempts=1,
)
report = runner.run(asked)
assert (report.ok, report.failed) == (3, 0), report
assert [result.key for result in report.results] == [request.key for request in asked], report
assert [result.data for result in report.results] == [{"name": "echo"}] * 3, report
print("steadybatch")
