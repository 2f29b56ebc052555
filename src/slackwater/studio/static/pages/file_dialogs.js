// @ts-check
/** What is asked before a file is deleted, and before one is fetched from a URL. */
import { call, part } from "../app/api.js";
import { bytes, number } from "../app/formats.js";
import { Button, Failure, Field, Notice, Skeleton } from "../app/parts/basics.js";
import { Confirm, Dialog } from "../app/parts/dialog.js";
import { isOpen } from "../app/parts/status.js";
import { useLoad } from "../app/polling.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { findUses } from "./files_data.js";

/** @param {{file: any, onClose: () => void, onDone: () => void}} properties */
export function DeleteFile({ file, onClose, onDone }) {
  const uses = useLoad((signal) => findUses(file, signal), [file.id]);
  const act = async () => {
    await call(`/files/${part(file.id)}`, { method: "DELETE" });
    toast(`${file.filename} is deleted.`);
    onDone();
  };
  return html`<${Confirm} title="Delete this file?" confirm="Delete the file" act=${act} onClose=${onClose}>
    <p><strong class="breaks">${file.filename}</strong> <span class="muted">${file.bytes === undefined ? "" : bytes(file.bytes)}</span></p>
    <p>It is gone for good; nothing can bring it back.</p>
    <div class="consequences">${uses.data ? html`<${Consequences} file=${file} uses=${uses.data} />` : !uses.error && html`<${Skeleton} height=${56} />`}</div><//>`;
}

/** @param {{file: any, uses: import("./files_data.js").Use[]}} properties */
function Consequences({ file, uses }) {
  const open = uses.filter((use) => isOpen(use.status)).length;
  if (file.purpose === "batch_output" && uses.length) return html`<${Notice} kind="warn"><p>These are results of a job that has ended. They can be had again only by paying for a new job. The job, its counts and its cost stay.</p><//>`;
  if (file.purpose !== "batch" || !uses.length) return html`<${Notice}><p>No job uses it.</p><//>`;
  if (open) {
    return html`<${Notice} kind="warn"><p><strong>${open === 1 ? "A job is working with it" : `${number(open)} jobs are working with it`}.</strong> That goes on: the service keeps
      the bytes until the job has ended. Afterwards its questions cannot be shown beside the answers, and “Retry failed” is not possible.</p><//>`;
  }
  return html`<${Notice}><p>${uses.length === 1 ? "A job that has ended was made of it. Its" : `${number(uses.length)} jobs that have ended were made of it. Their`} results stay; the questions can no longer be shown beside the answers, and “Retry failed” is not possible.</p><//>`;
}

/** @param {{onClose: () => void, onDone: () => void}} properties */
export function ImportFile({ onClose, onDone }) {
  const [url, setUrl] = useState("");
  const [name, setName] = useState(/** @type {string|null} */ (null));
  const [busy, setBusy] = useState(false);
  const [fault, setFault] = useState(/** @type {string|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const filename = name ?? nameIn(url);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setError(null);
    if (!/^https?:\/\/\S+$/i.test(url.trim())) return setFault("Type an address that begins with https://.");
    setFault(null);
    setBusy(true);
    try {
      await call("/files/import", { method: "POST", body: { purpose: "batch", filename: filename || "import.jsonl", content_url: url.trim() } });
      toast("The service is fetching the file.");
      onDone();
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Not now<//><${Button} kind="main" type="submit" form="import-form" busy=${busy}>Import<//>`;
  return html`<${Dialog} title="Import a file from a URL" onClose=${onClose} actions=${actions}><form id="import-form" class="stack" novalidate onSubmit=${submit}>
    <${Field} label="URL" id="import-url" fault=${fault} hint="The service fetches it itself, so it has to reach the address; the operator decides which hosts it may ask. A signed link works.">
      <input id="import-url" type="url" inputmode="url" value=${url} autocomplete="off" placeholder="https://…/questions.jsonl" aria-describedby="import-url-hint" onInput=${(/** @type {any} */ event) => setUrl(event.target.value)} /><//>
    <${Field} label="Name here" id="import-name"><input id="import-name" value=${filename} autocomplete="off" placeholder="questions.jsonl" onInput=${(/** @type {any} */ event) => setName(event.target.value)} /><//>
    <${Failure} error=${error} title="The file is not being fetched." /></form><//>`;
}

/** The last part of a URL's path, for a name. @param {string} url */
function nameIn(url) {
  try {
    return decodeURIComponent(new URL(url).pathname.split("/").at(-1) ?? "");
  } catch {
    return "";
  }
}
