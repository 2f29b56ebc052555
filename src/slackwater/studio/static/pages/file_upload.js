// @ts-check
/** Files on their way from this computer: chosen or dropped, several at once, one sent after the other, each can be cancelled. */
import { upload } from "../app/api.js";
import { bytes, percent } from "../app/formats.js";
import { Button, Failure, Notice } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { toast } from "../app/toasts.js";
import { html, useEffect, useRef, useState } from "../app/ui.js";

/** What most services take; a larger one may be allowed by the operator, so it is asked and not refused. */
const LARGE = 200 * 1024 * 1024;
let last = 0;

/** @param {() => void} onSent @returns {{items: any[], add: (files: FileList|File[]) => void, remove: (id: number) => void, again: (id: number) => void}} */
export function useUploads(onSent) {
  const [items, setItems] = useState(/** @type {any[]} */ ([]));
  const known = useRef(items);
  const sending = useRef(false);
  const sent = useRef(onSent);
  sent.current = onSent;
  const set = (/** @type {any[]} */ next) => {
    known.current = next;
    setItems(next);
  };
  const change = (/** @type {number} */ id, /** @type {any} */ more) => set(known.current.map((each) => (each.id === id ? { ...each, ...more } : each)));

  const next = async () => {
    const item = known.current.find((each) => each.stage === "waiting");
    if (sending.current || !item) return;
    sending.current = true;
    const aborter = new AbortController();
    change(item.id, { stage: "sending", abort: () => aborter.abort() });
    try {
      await upload(item.file, item.file.name, (progress) => change(item.id, { progress }), aborter.signal);
      set(known.current.filter((each) => each.id !== item.id));
      toast(`${item.file.name} is uploaded.`);
      sent.current();
    } catch (error) {
      if (aborter.signal.aborted) set(known.current.filter((each) => each.id !== item.id));
      else change(item.id, { stage: "failed", error });
    }
    sending.current = false;
    next();
  };
  useEffect(() => () => known.current.forEach((each) => each.abort?.()), []);

  return {
    items,
    add(files) {
      const added = [...files].map((file) => ({ id: (last += 1), file, stage: file.size > LARGE ? "large" : "waiting", progress: { sent: 0, total: file.size }, error: null }));
      set([...known.current, ...added]);
      next();
    },
    remove(id) {
      const item = known.current.find((each) => each.id === id);
      if (item?.stage === "sending") item.abort();
      else set(known.current.filter((each) => each.id !== id));
    },
    again(id) {
      change(id, { stage: "waiting", error: null });
      next();
    },
  };
}

/** The button, with the browser's own choice of files behind it. @param {{onFiles: (files: FileList) => void, disabled: boolean, why: string}} properties */
export function UploadButton({ onFiles, disabled, why }) {
  const input = useRef(/** @type {HTMLInputElement|null} */ (null));
  const chosen = (/** @type {any} */ event) => {
    onFiles(event.target.files);
    event.target.value = "";
  };
  return html`<input ref=${input} class="unseen" type="file" multiple tabindex="-1" aria-hidden="true" accept=".jsonl,.json,.txt,application/jsonl,application/json" onChange=${chosen} />
    <${Button} kind="main" icon="upload" disabled=${disabled} why=${why} onClick=${() => input.current?.click()}>Upload<//>`;
}

/**
 * Takes files that are dropped anywhere on the page, and says so while they hang over it.
 * @param {{onFiles: (files: FileList) => void, enabled: boolean}} properties
 */
export function DropAnywhere({ onFiles, enabled }) {
  const [over, setOver] = useState(false);
  const taken = useRef(onFiles);
  taken.current = onFiles;
  useEffect(() => {
    const brings = (/** @type {DragEvent} */ event) => event.dataTransfer?.types.includes("Files") && !document.querySelector("dialog[open]");
    const above = (/** @type {DragEvent} */ event) => {
      if (!brings(event)) return;
      event.preventDefault();
      // Taken by nobody, rather than opened by the browser in the place of this page.
      if (!enabled && event.dataTransfer) event.dataTransfer.dropEffect = "none";
      setOver(enabled);
    };
    const left = (/** @type {DragEvent} */ event) => !event.relatedTarget && setOver(false);
    const dropped = (/** @type {DragEvent} */ event) => {
      if (!brings(event)) return;
      event.preventDefault();
      setOver(false);
      if (enabled) taken.current(/** @type {DataTransfer} */ (event.dataTransfer).files);
    };
    document.addEventListener("dragover", above);
    document.addEventListener("dragleave", left);
    document.addEventListener("drop", dropped);
    return () => {
      document.removeEventListener("dragover", above);
      document.removeEventListener("dragleave", left);
      document.removeEventListener("drop", dropped);
    };
  }, [enabled]);
  return over && html`<div class="drop-here" aria-hidden="true"><${Icon} name="upload" /><strong>Drop to upload</strong></div>`;
}

/** @param {{uploads: ReturnType<typeof useUploads>}} properties */
export function Uploads({ uploads }) {
  if (!uploads.items.length) return null;
  return html`<ul class="uploads" aria-label="Uploads">${uploads.items.map((item) => html`<li key=${item.id}><${Item} item=${item} uploads=${uploads} /></li>`)}</ul>`;
}

/** @param {{item: any, uploads: ReturnType<typeof useUploads>}} properties */
function Item({ item, uploads }) {
  const { sent, total } = item.progress;
  const remove = () => uploads.remove(item.id);
  if (item.stage === "failed") {
    return html`<${Failure} title=${`${item.file.name} was not uploaded.`} error=${item.error} retry=${() => uploads.again(item.id)}><div><${Button} onClick=${remove}>Leave it<//></div><//>`;
  }
  if (item.stage === "large") {
    return html`<${Notice} kind="warn"><p><strong>${item.file.name} has ${bytes(item.file.size)}.</strong> A service takes files of up to 200 MB, unless its operator
      allows more. Cut it with <code>slackwater split</code>, and upload the pieces.</p>
      <div class="row"><${Button} onClick=${() => uploads.again(item.id)}>Upload it anyway<//><${Button} onClick=${remove}>Leave it<//></div><//>`;
  }
  const share = (100 * sent) / (total || 1);
  const words = item.stage === "waiting" ? "Waits for the one before" : sent >= total ? "Sent; the service is writing it to disk" : `${bytes(sent)} of ${bytes(total)}, ${percent(sent, total)}`;
  return html`<div class="upload"><${Icon} name="upload" /><div class="stack tight grow"><strong class="cut">${item.file.name}</strong>
    <div class="bar" role="progressbar" aria-label=${`Upload of ${item.file.name}`} aria-valuemin="0" aria-valuemax="100" aria-valuenow=${Math.floor(share)}>
      <div class="bar-good" style=${{ width: `${share}%` }}></div></div><span class="small muted">${words}</span></div>
    <${Button} icon="close" onClick=${remove}>Cancel<//></div>`;
}
