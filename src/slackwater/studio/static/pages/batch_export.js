// @ts-check
/** The results that the table shows as a file, which the server makes while it is fetched. */
import { address, part } from "../app/api.js";
import { Button } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { html, useState } from "../app/ui.js";
import { asked, inOrder, ORDERS, selection } from "./batch_lines_data.js";

const FORMATS = [
  ["csv", "CSV", "A table for spreadsheets: id, line, outcome, the whole text of the answer, tokens, latency."],
  ["jsonl", "JSON Lines", "The lines as they stand in the files of the job."],
];

/** @param {{batch: any, onClose: () => void}} properties */
export function ExportDialog({ batch, onClose }) {
  const wanted = asked();
  const [format, setFormat] = useState("csv");
  const [formulas, setFormulas] = useState(false);
  const order = wanted.find ? {} : inOrder(wanted);
  const file = address(`/batches/${part(batch.id)}/result_export`, { format, ...selection(wanted), ...order, text: wanted.find, formulas: formulas && format === "csv" ? "true" : "" });
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Close<//>
    <${Button} kind="main" icon="download" href=${file} download onClick=${onClose}>Export<//>`;
  return html`<${Dialog} title="Export results" onClose=${onClose} actions=${actions}><div class="stack">
    <p>${what(wanted)}</p>
    <div class="stack tight" role="radiogroup" aria-label="Format">${FORMATS.map(
      ([name, text, means]) => html`<label key=${name} class="check"><input type="radio" name="export-format" checked=${format === name} onChange=${() => setFormat(name)} />
        <span><strong>${text}</strong><br /><span class="small muted">${means}</span></span></label>`,
    )}</div>
    ${format === "csv" && html`<label class="check"><input type="checkbox" checked=${formulas} onChange=${(/** @type {any} */ event) => setFormulas(event.target.checked)} /><span>Leave texts that begin with = + - @ as they are<br />
      <span class="small muted">A spreadsheet may run them as formulas. Otherwise an apostrophe stands before them, and they are texts.</span></span></label>`}</div><//>`;
}

/** What will be in the file, in words. @param {import("./batch_lines_data.js").Asked} wanted */
function what(wanted) {
  const which = wanted.code ? `those that failed with ${wanted.code.split(" ").slice(1).join(" ")}` : wanted.outcome === "completed" ? "those that were answered" : wanted.outcome === "failed" ? "those that were not answered" : "all results";
  if (wanted.find) return `Of ${which === "all results" ? "the results" : which}: every one that has “${wanted.find}” in its id, prompt or answer, however far the search on the page has come.`;
  return `${which[0].toUpperCase()}${which.slice(1)}, ${ORDERS[wanted.order].text.toLowerCase()}.`;
}
