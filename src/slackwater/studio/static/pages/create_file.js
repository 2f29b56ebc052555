// @ts-check
/** The first step of Create: a file from this computer, chosen or dropped, one that has been uploaded before, or the example. */
import { call } from "../app/api.js";
import { bytes, percent } from "../app/formats.js";
import { Button, Empty, Failure, Notice, Skeleton, Time } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { useLoad } from "../app/polling.js";
import { html, useState } from "../app/ui.js";
import { Repair } from "./create_repair.js";
import { exampleFile } from "./example_file.js";

const LARGE = 200 * 1024 * 1024;

/** @param {{input: any}} properties */
export function FileChoice({ input }) {
  const [from, setFrom] = useState("computer");
  const [large, setLarge] = useState(/** @type {File|null} */ (null));
  const take = (/** @type {File|undefined} */ file) => {
    if (!file) return;
    setLarge(file.size > LARGE ? file : null);
    if (file.size <= LARGE) input.send(file, file.name);
  };
  if (input.stage === "uploading") return html`<${Sending} input=${input} />`;
  if (input.file) return html`<${Chosen} input=${input} />`;
  if (input.stage === "checking") return html`<${Skeleton} height=${54} />`;
  return html`
    <div class="tabs" role="group" aria-label="Where the file is">
      ${[["computer", "Upload a file"], ["service", "Use an uploaded file"]].map(([name, text]) => html`<button key=${name} type="button" class="tab" aria-pressed=${from === name} onClick=${() => setFrom(name)}>${text}</button>`)}
    </div>
    ${from === "computer" ? html`<${Drop} onFile=${take} />` : html`<${Uploaded} onPick=${input.pick} />`}
    ${large && html`<${TooLarge} file=${large} onAnyway=${() => input.send(large, large.name)} />`}
    ${input.fault && html`<${Repair} key=${input.name} input=${input} />`}
    <${Failure} error=${input.error} title=${input.name ? `${input.name} was not uploaded.` : undefined} retry=${input.local ? () => input.send(input.local, input.name) : undefined} />
    ${from === "computer" && html`<${Example} input=${input} />`}`;
}

/** @param {{onFile: (file: File|undefined) => void}} properties */
function Drop({ onFile }) {
  const [over, setOver] = useState(false);
  const dropped = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(false);
    onFile(event.dataTransfer?.files[0]);
  };
  const dragged = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(true);
  };
  const chosen = (/** @type {any} */ event) => {
    onFile(event.target.files[0]);
    event.target.value = "";
  };
  return html`<label class=${`drop ${over ? "over" : ""}`} onDragOver=${dragged} onDragLeave=${() => setOver(false)} onDrop=${dropped}>
    <input class="unseen" type="file" accept=".jsonl,.json,.txt,.csv,.tsv,application/jsonl,application/json" onChange=${chosen} />
    <${Icon} name="upload" /><span><strong>Choose a .jsonl file</strong> or drop it here</span>
    <span class="small muted">One request per line, each with custom_id, method, url and body. Up to 200 MB and 100,000 lines.</span></label>`;
}

/** @param {{input: any}} properties */
function Sending({ input }) {
  const { sent, total } = input.progress;
  const done = sent >= total;
  return html`<div class="chosen"><${Icon} name="upload" /><div class="stack tight grow"><strong class="cut">${input.name}</strong>
    <div class="bar" role="progressbar" aria-label="Upload" aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.floor((100 * sent) / (total || 1))}>
      <div class="bar-good" style=${{ width: `${(100 * sent) / (total || 1)}%` }}></div></div>
    <span class="small muted">${done ? "Sent; the service is writing it to disk." : `${bytes(sent)} of ${bytes(total)}, ${percent(sent, total)}`}</span></div>
    <${Button} icon="close" onClick=${input.clear}>Cancel upload<//></div>`;
}

/** @param {{input: any}} properties */
function Chosen({ input }) {
  return html`<div class="chosen"><${Icon} name="files" /><div class="stack tight grow"><strong class="cut">${input.file.filename}</strong>
    <span class="small muted cut">${bytes(input.file.bytes)} · <code>${input.file.id}</code></span></div>
    <${Button} onClick=${input.clear}>Choose another file<//></div>`;
}

/** @param {{file: File, onAnyway: () => void}} properties */
function TooLarge({ file, onAnyway }) {
  return html`<${Notice} kind="warn"><p><strong>${file.name} has ${bytes(file.size)}.</strong> A service takes files of up to 200 MB, unless its
    operator allows more. Cut the file, and create a job for each piece:</p>
    <pre><code>slackwater split ${/\s/.test(file.name) ? `"${file.name}"` : file.name}</code></pre>
    <div><${Button} onClick=${onAnyway}>Upload it anyway<//></div><//>`;
}

/** @param {{input: any}} properties */
function Example({ input }) {
  const [error, setError] = useState(/** @type {any} */ (null));
  const make = async () => {
    try {
      const { blob, name } = await exampleFile();
      input.send(blob, name);
    } catch (problem) {
      setError(problem);
    }
  };
  return html`<p class="small muted row tight">No file at hand? <${Button} kind="quiet" onClick=${make}>Use an example with five questions<//></p><${Failure} error=${error} />`;
}

/** Files for batches that are there, newest first. @param {{onPick: (id: string) => void}} properties */
function Uploaded({ onPick }) {
  const [pages, setPages] = useState(/** @type {any[]} */ ([]));
  const [name, setName] = useState("");
  const ask = (/** @type {string|undefined} */ after, /** @type {AbortSignal|undefined} */ signal) => call("/files", { query: { purpose: "batch", limit: 100, after }, signal });
  const first = useLoad((signal) => ask(undefined, signal), []);
  const all = [first.data, ...pages].filter(Boolean);
  const files = all.flatMap((page) => page.data).filter((file) => `${file.filename} ${file.id}`.toLowerCase().includes(name.toLowerCase()));
  const more = async () => setPages([...pages, await ask(all.at(-1).last_id, undefined)]);
  if (first.error) return html`<${Failure} error=${first.error} retry=${first.refresh} />`;
  if (!first.data) return html`<${Skeleton} lines=${5} height=${36} />`;
  if (!first.data.data.length) return html`<${Empty} title="No files yet" icon="files">Upload one from your computer first; it then stays here until it is deleted.<//>`;
  return html`<div class="stack"><div class="search"><${Icon} name="search" /><label class="unseen" for="file-search">Search files</label>
    <input id="file-search" type="search" placeholder="Search files" value=${name} onInput=${(/** @type {any} */ event) => setName(event.target.value)} /></div>
    <ul class="file-list" tabindex="0" aria-label="Uploaded files">${files.map(
      (file) => html`<li key=${file.id}><button type="button" disabled=${file.status !== "processed"} onClick=${() => onPick(file.id)}>
        <strong class="cut">${file.filename}</strong><span class="small muted">${bytes(file.bytes)}</span><span class="small muted"><${Time} at=${file.created_at} relative /></span></button></li>`,
    )}${!files.length && html`<li class="muted">None of the loaded files has this name.</li>`}</ul>
    ${all.at(-1).has_more && html`<div><${Button} onClick=${more}>Load older files<//></div>`}</div>`;
}
