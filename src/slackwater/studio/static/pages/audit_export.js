// @ts-check
/** Writes what the filters find into a file, oldest first, as a table for spreadsheets or as a line of JSON for each entry. */
import { number } from "../app/formats.js";
import { Button, Failure, Notice } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { html, useEffect, useRef, useState } from "../app/ui.js";
import { entries } from "./audit_data.js";

const PAGE = 1000;
/** All is held in memory until it is written. */
const MOST = 100_000;
const COLUMNS = ["id", "at", "who", "action", "target", "detail", "request_id"];
const FORMATS = {
  csv: { text: "CSV", means: "A table for spreadsheets; times in UTC.", type: "text/csv" },
  jsonl: { text: "JSON lines", means: "One JSON object per line, as the API has them.", type: "application/jsonl" },
};

/** @param {{filter: import("./audit_data.js").Filter, onClose: () => void}} properties */
export function Export({ filter, onClose }) {
  const [format, setFormat] = useState(/** @type {"csv"|"jsonl"} */ ("csv"));
  const [count, setCount] = useState(/** @type {number|null} */ (null));
  const [done, setDone] = useState(/** @type {"all"|"cut"|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const stop = useRef(new AbortController());
  useEffect(() => () => stop.current.abort(), []);
  const busy = count !== null && !done && !error;

  const run = async () => {
    setError(null);
    setDone(null);
    setCount(0);
    const parts = format === "csv" ? [row(COLUMNS)] : [];
    let found = 0;
    let page = { data: /** @type {any[]} */ ([]), has_more: true, last_id: /** @type {string|undefined} */ (undefined) };
    try {
      while (page.has_more && found < MOST) {
        page = await entries(filter, { after: page.last_id, limit: PAGE, order: "asc", signal: stop.current.signal });
        parts.push(page.data.map(format === "csv" ? cells : line).join(""));
        found += page.data.length;
        setCount(found);
      }
      save(new Blob(parts, { type: format === "csv" ? FORMATS.csv.type : FORMATS.jsonl.type }), `audit.${format}`);
      setDone(page.has_more ? "cut" : "all");
    } catch (problem) {
      if (!stop.current.signal.aborted) setError(problem);
    }
  };
  const filtered = filter.who || filter.action || filter.target;
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>${busy ? "Stop" : "Close"}<//>
    <${Button} kind="main" icon="download" busy=${busy} onClick=${run}>Export<//>`;
  return html`<${Dialog} title="Export the audit log" onClose=${onClose} actions=${actions}><div class="stack">
    <p>${filtered ? "The entries that the filters find" : "Every entry of this resource"}, oldest first.</p>
    <div class="stack tight" role="radiogroup" aria-label="Format">${Object.entries(FORMATS).map(([name, { text, means }]) => html`<label key=${name} class="check">
      <input type="radio" name="format" checked=${format === name} disabled=${busy} onChange=${() => setFormat(/** @type {any} */ (name))} />
      <span><strong>${text}</strong><br /><span class="small muted">${means}</span></span></label>`)}</div>
    <div class="export-state" role="status">${busy && html`<p class="muted">${number(count)} entries read …</p>`}
      ${done === "all" && html`<${Notice} kind="good"><p>${count === 1 ? "1 entry is" : `${number(count)} entries are`} in the file.</p><//>`}
      ${done === "cut" && html`<${Notice} kind="warn"><p>The file has the oldest ${number(count)} entries; there are more. Narrow the filters, or let the operator write all: <code>slackwater audit export</code>.</p><//>`}</div>
    <${Failure} error=${error} /></div><//>`;
}

/** @param {any} entry */
const line = (entry) => `${JSON.stringify(entry)}\n`;

/** @param {any} entry */
const cells = (entry) => row(COLUMNS.map((name) => (name === "at" ? new Date(entry.at * 1000).toISOString() : name === "detail" ? JSON.stringify(entry.detail) : entry[name])));

/** A line of CSV (RFC 4180). A text that a spreadsheet would run as a formula is marked as text. @param {any[]} values */
export const row = (values) => `${values.map((value) => cell(/^[=+\-@\t\r]/.test(String(value)) ? `'${value}` : String(value))).join(",")}\r\n`;

/** @param {string} text */
const cell = (text) => (/[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);

/** Hands a file to the browser. @param {Blob} blob @param {string} name */
function save(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
