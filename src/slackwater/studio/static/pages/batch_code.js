// @ts-check
/** The same job by program: with curl, and with the client library in Python. */
import { API, part } from "../app/api.js";
import { Copy } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { html, useState } from "../app/ui.js";

/** @param {{batch: any, filename: string|null|undefined, onClose: () => void}} properties */
export function Code({ batch, filename, onClose }) {
  const [language, setLanguage] = useState("Python");
  const text = language === "curl" ? curl(batch, filename ?? "input.jsonl") : python(batch, filename ?? "input.jsonl");
  return html`<${Dialog} title="The same by program" wide onClose=${onClose}><div class="stack">
    <div class="row"><div class="tabs" role="group" aria-label="Language">${["Python", "curl"].map((name) => html`<button key=${name} type="button" class="tab" aria-pressed=${language === name} onClick=${() => setLanguage(name)}>${name}</button>`)}</div>
      <span class="push"></span><${Copy} text=${text} label="Copy the code">Copy<//></div>
    <pre class="json code" tabindex="0" aria-label=${`The code in ${language}`}><code>${text}</code></pre>
    <p class="small muted">Put a key into the environment variable SLACKWATER_API_KEY. A service without keys takes any text.</p></div><//>`;
}

/** A text in single quotes of the shell. @param {string} value */
const shell = (value) => `'${value.replaceAll("'", `'\\''`)}'`;
/** A text in Python: JSON's strings are Python's, too. @param {string} value */
const literal = (value) => JSON.stringify(value);

/** @param {any} batch @param {string} filename */
function curl(batch, filename) {
  const base = location.origin + API;
  const key = '-H "api-key: $SLACKWATER_API_KEY"';
  const order = JSON.stringify({
    input_file_id: batch.input_file_id,
    endpoint: batch.endpoint,
    completion_window: batch.completion_window,
    ...(batch.metadata && { metadata: batch.metadata }),
  });
  const lines = [
    "# 1. Upload the file. The answer has its id; the one of this job is used below.",
    `curl ${base}/files ${key} -F purpose=batch -F file=@${shell(filename)}`,
    "",
    "# 2. Create the job.",
    `curl ${base}/batches ${key} -H "Content-Type: application/json" \\`,
    `  -d ${shell(order)}`,
    "",
    "# 3. Look at it, until its status is completed, failed, expired or cancelled.",
    `curl ${base}/batches/${part(batch.id)} ${key}`,
    "",
    "# 4. Download the answers, and the errors. A file without lines is not made.",
  ];
  for (const [id, name] of [[batch.output_file_id, "answers.jsonl"], [batch.error_file_id, "errors.jsonl"]]) {
    if (id) lines.push(`curl ${base}/files/${part(id)}/content ${key} -o ${name}`);
  }
  if (!batch.output_file_id && !batch.error_file_id) lines.push(`curl ${base}/files/OUTPUT_FILE_ID/content ${key} -o answers.jsonl`);
  return `${lines.join("\n")}\n`;
}

/** @param {any} batch @param {string} filename */
function python(batch, filename) {
  const metadata = batch.metadata ? `,\n    metadata={${Object.entries(batch.metadata).map(([name, value]) => `${literal(name)}: ${literal(value)}`).join(", ")}}` : "";
  return `# pip install openai
import os
import time

from openai import OpenAI

client = OpenAI(base_url=${literal(location.origin + API)}, api_key=os.environ["SLACKWATER_API_KEY"])

with open(${literal(filename)}, "rb") as data:
    file = client.files.create(file=data, purpose="batch")
batch = client.batches.create(
    input_file_id=file.id,
    endpoint=${literal(batch.endpoint)},
    completion_window=${literal(batch.completion_window)}${metadata},
)

while batch.status not in ("completed", "failed", "expired", "cancelled"):
    time.sleep(5)
    batch = client.batches.retrieve(batch.id)
    print(batch.status, batch.request_counts)

for error in (batch.errors.data or []) if batch.errors else []:
    print(f"line {error.line}: {error.message}")
for file_id, name in ((batch.output_file_id, "answers.jsonl"), (batch.error_file_id, "errors.jsonl")):
    if file_id:
        client.files.content(file_id).write_to_file(name)
`;
}
