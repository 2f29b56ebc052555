// @ts-check
/**
 * The first page of a service that has no jobs and no configuration of its own: three ways to somebody who answers, and what a program
 * needs to know. An engine on the service's machine is looked for by the service, when it is asked to.
 */
import { API, call } from "../app/api.js";
import { Button, Failure, Notice } from "../app/parts/basics.js";
import { CodeBlock } from "../app/parts/code.js";
import { usePoll } from "../app/polling.js";
import { to } from "../app/router.js";
import { session } from "../app/session.js";
import { html, useState } from "../app/ui.js";
import { AddEngine } from "./connection_form.js";
import { healthiest } from "./create_deployment.js";

/** What a service has that was started without a configuration. */
const ECHO = { name: "demo-batch", url: "built-in" };

/** @param {{otherwise: any}} properties otherwise: what is shown where there is a configuration, or somebody who does not run the service */
export function FirstRun({ otherwise }) {
  const operates = session.value?.operates;
  const known = usePoll(
    async (signal) => {
      if (!operates) return null;
      const [made, status, allowed] = await Promise.all([call("/deployments", { signal }), call("/deployment_status", { signal }), call("/connections", { signal })]);
      return { made: made.value, status: status.data, allowed };
    },
    [operates],
    { seconds: 5 },
  );
  const [begun, setBegun] = useState(/** @type {any} */ (null));
  if (!operates || known.error) return otherwise;
  if (!known.data) return null;
  const { made, status, allowed } = known.data;
  if (!made.filter((/** @type {any} */ each) => each.properties.slackwater.source === "configuration").every(isEcho)) return otherwise;
  const own = healthiest(status).filter((each) => each.name !== ECHO.name);
  const best = own[0] ?? status[0];
  return html`<div class="first stack">
    <div><h2>Who is to answer?</h2><p class="muted">A batch job sends every line of a <code>.jsonl</code> file to a deployment, and collects the answers in one file. No engine is in a configuration file, and none has to be.</p></div>
    ${own.length > 0 && html`<${Notice} kind="good"><p><strong>${own.map((each) => each.name).join(", ")} ${own.length === 1 ? "is" : "are"} ready.</strong> Create a job of a file of yours, or of the example.</p>
      <div><${Button} kind="main" icon="plus" href=${to("/batches/new")}>Create batch job<//></div><//>`}
    <div class="ways">
      <${OnThisMachine} onUse=${(/** @type {string} */ url) => setBegun({ url })} />
      <section class="panel" aria-label="An engine with a URL"><h3>An engine with a URL</h3><p class="muted">vLLM, SGLang, llama.cpp, Ollama, Azure, OpenAI: whatever answers at <code>/chat/completions</code>, with a key or without.</p>
        <div><${Button} icon="plus" onClick=${() => setBegun({})}>Add an engine<//></div></section>
      ${status.some((/** @type {any} */ each) => each.name === ECHO.name) && html`<section class="panel" aria-label="The echo"><h3>The echo</h3><p class="muted">Nobody thinks, and every request is answered with itself: enough to see a whole job go through. It is there as <code>${ECHO.name}</code>.</p>
        <div><${Button} icon="plus" href=${to("/batches/new")}>Try a job with it<//></div></section>`}
    </div>
    ${best && html`<${Snippet} deployment=${best.name} />`}
    ${begun && html`<${AddEngine} begun=${begun} allowed=${allowed} onClose=${() => setBegun(null)} onDone=${known.refresh} />`}</div>`;
}

/** @param {any} each a deployment as the control plane has it */
const isEcho = (each) => each.name === ECHO.name && each.properties.slackwater.backends.every((/** @type {any} */ backend) => backend.url === ECHO.url);

/** @param {{onUse: (url: string) => void}} properties */
function OnThisMachine({ onUse }) {
  const [found, setFound] = useState(/** @type {any[]|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const look = async () => {
    setBusy(true);
    setError(null);
    try {
      setFound((await call("/connections/find", { method: "POST" })).data);
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  return html`<section class="panel" aria-label="An engine on this machine"><h3>An engine on this machine</h3>
    <p class="muted">The service looks on its own machine, on the ports where Ollama, vLLM, SGLang, llama.cpp and LM Studio usually are.</p>
    <div role="status" class="stack tight">${found?.map((each) => html`<div key=${each.url} class="found-engine"><div class="grow"><code>${each.url}</code><div class="small muted cut" title=${each.models.join(", ")}>${each.models.join(", ")}</div></div>
      <${Button} kind="main" label=${`Use ${each.url}`} onClick=${() => onUse(each.url)}>Use it<//></div>`)}
      ${found?.length === 0 && html`<p>None was found. Start one, or add it with its URL.</p>`}</div>
    <${Failure} error=${error} />
    <div><${Button} icon="search" busy=${busy} onClick=${look}>${found ? "Look again" : "Look for one"}<//></div></section>`;
}

/** What a program needs. The address is the one that this browser uses. @param {{deployment: string}} properties */
function Snippet({ deployment }) {
  const known = session.value;
  const key = known?.open ? `"any"` : `"YOUR-KEY"`;
  const said = known?.open ? "no key is needed here; any text will do" : `a key of this service${known?.name ? `; you are signed in as ${known.name}` : ""}`;
  const text = `# pip install openai
import json
from openai import OpenAI

client = OpenAI(
    base_url=${JSON.stringify(location.origin + API)},
    api_key=${key},  # ${said}
)
question = {"model": ${JSON.stringify(deployment)}, "messages": [{"role": "user", "content": "Why is the sea salty?"}]}
line = {"custom_id": "task-1", "method": "POST", "url": "/v1/chat/completions", "body": question}
file = client.files.create(file=("questions.jsonl", json.dumps(line).encode()), purpose="batch")
batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
print(batch.id)
`;
  return html`<section class="panel" aria-label="By program"><h3>Or by program</h3><p class="muted">With the client that you have: only the address, the key and the name of the deployment are this service’s.</p><${CodeBlock} text=${text} label="Python" /></section>`;
}
