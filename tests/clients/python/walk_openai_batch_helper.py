"""The road of a batch with openai-batch-helper, as OpenAI's and as Azure's. Started by tests/clients/test_packages.py."""

import os
import tempfile

import openai
from openai_batch_helper import BatchHelper

URL, KEY = os.environ["SLACKWATER_URL"], os.environ["SLACKWATER_KEY"]
QUESTIONS = {f"task-{number}": f"When does tide {number} turn?" for number in range(3)}
CLIENTS = (
    openai.OpenAI(base_url=f"{URL}/v1", api_key=KEY),
    openai.AzureOpenAI(azure_endpoint=URL, api_key=KEY, api_version="2024-10-21"),
)

for client in CLIENTS:
    with tempfile.TemporaryDirectory() as folder:
        helper = BatchHelper(client, endpoint="/v1/chat/completions", workdir=folder)
        job = helper.init_job()
        for custom_id, question in QUESTIONS.items():
            body = {"model": "meta-llama/Llama-3.1-8B", "messages": [{"role": "user", "content": question}]}
            job.add_task(custom_id, body=body)
        job.submit_file().submit_batch_job(metadata={"team": "tides"}).wait_for_completion(poll_seconds=0.05)
        job.download_result()
        answers = job.map_by_custom_id(lambda row: row["response"]["body"]["choices"][0]["message"]["content"])
    assert answers.keys() == QUESTIONS.keys(), answers
    for custom_id, question in QUESTIONS.items():
        assert answers[custom_id].startswith(f"Echo of: {question}\n"), answers
    assert helper.resume_job(job.batch_id).status == "completed"
print("openai-batch-helper")
