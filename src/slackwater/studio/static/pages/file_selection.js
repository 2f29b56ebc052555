// @ts-check
/** Several files at once: which are chosen, and what becomes of them when they are deleted. */
import { call, part } from "../app/api.js";
import { bytes, number } from "../app/formats.js";
import { Button, Notice, Skeleton } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { isOpen } from "../app/parts/status.js";
import { useLoad } from "../app/polling.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { findUses } from "./files_data.js";

/** So many are asked about, and deleted, at once. */
const AT_ONCE = 4;
const NAMED = 5;

/** The files of a list that are chosen. @param {any[]|undefined} files those that are shown */
export function useSelection(files) {
  const [ids, setIds] = useState(/** @type {Set<string>} */ (new Set()));
  const chosen = (files ?? []).filter((each) => ids.has(each.id));
  return {
    chosen,
    has: (/** @type {string} */ id) => ids.has(id),
    toggle(/** @type {string} */ id) {
      const next = new Set(ids);
      if (!next.delete(id)) next.add(id);
      setIds(next);
    },
    all: () => setIds(new Set(chosen.length === files?.length ? [] : files?.map((each) => each.id))),
    none: () => setIds(new Set()),
  };
}

/** What is chosen, and what can be done with it. It has its room, so that nothing moves. @param {{selection: ReturnType<typeof useSelection>, onDelete: () => void}} properties */
export function SelectionBar({ selection, onDelete }) {
  const { chosen } = selection;
  const size = chosen.reduce((sum, each) => sum + (each.bytes ?? 0), 0);
  return html`<div class="selection" aria-live="polite">${chosen.length === 0 ? html`<span class="small muted">Tick files to delete several at once.</span>` : html`<span><strong>${number(chosen.length)} chosen</strong> <span class="muted">${bytes(size)}</span></span>
    <${Button} kind="quiet" onClick=${selection.none}>Choose none<//><${Button} kind="bad" icon="trash" onClick=${onDelete}>Delete ${number(chosen.length)} ${chosen.length === 1 ? "file" : "files"}<//>`}</div>`;
}

/** @param {{files: any[], onClose: () => void, onDone: () => void}} properties */
export function DeleteFiles({ files, onClose, onDone }) {
  const [doomed] = useState(files);
  const [done, setDone] = useState(0);
  const uses = useLoad(async (signal) => (await inTurn(doomed, (file) => findUses(file, signal))).map((each) => each.value ?? []), []);
  const act = async () => {
    const outcomes = await inTurn(doomed, async (file) => {
      await call(`/files/${part(file.id)}`, { method: "DELETE" }).catch((error) => {
        // Somebody else was quicker.
        if (error.status !== 404) throw error;
      });
      setDone((before) => before + 1);
    });
    onDone();
    const failed = outcomes.filter((each) => each.error);
    if (failed.length) throw new Error(`${number(failed.length)} of ${number(doomed.length)} could not be deleted, the others are: ${failed[0].error.message}`);
    toast(`${number(doomed.length)} files are deleted.`);
  };
  const used = uses.data?.flat() ?? [];
  const open = used.filter((each) => isOpen(each.status)).length;
  return html`<${Confirm} title=${`Delete ${number(doomed.length)} ${doomed.length === 1 ? "file" : "files"}?`} confirm=${done ? `${number(done)} of ${number(doomed.length)}` : "Delete them"} act=${act} onClose=${onClose}>
    <ul class="named">${doomed.slice(0, NAMED).map((file) => html`<li key=${file.id} class="breaks">${file.filename}</li>`)}${doomed.length > NAMED && html`<li class="muted">and ${number(doomed.length - NAMED)} more</li>`}</ul>
    <p>They are gone for good; nothing can bring them back.</p>
    <div class="consequences">${!uses.data && !uses.error && html`<${Skeleton} height=${56} />`}
      ${uses.data && (used.length === 0
        ? html`<${Notice}><p>No job uses any of them.</p><//>`
        : html`<${Notice} kind="warn"><p>${open > 0 && html`<strong>${number(open)} open ${open === 1 ? "job goes" : "jobs go"} on</strong>: the service keeps the bytes until ${open === 1 ? "it has" : "they have"} ended. `}Results that are deleted can be had again only by paying for a
            new job; without its input file a job’s questions cannot be shown, and “Retry failed” is not possible.</p><//>`)}</div><//>`;
}

/** Does something for each, a few at once; what fails keeps the others from nothing. @param {any[]} items @param {(item: any) => Promise<any>} act @returns {Promise<{value?: any, error?: any}[]>} */
async function inTurn(items, act) {
  const outcomes = /** @type {any[]} */ ([]);
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      const index = next;
      next += 1;
      outcomes[index] = await act(items[index]).then((value) => ({ value }), (error) => ({ error }));
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, lane));
  return outcomes;
}
