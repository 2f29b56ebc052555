// @ts-check
/** The results of a job in the order in which they arrive, while it runs and afterwards; to be searched by custom_id. */
import { number } from "../app/formats.js";
import { moveFocus } from "../app/keyboard.js";
import { Button, Empty, Failure, Panel, Skeleton } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { isOpen, neverRan } from "../app/parts/status.js";
import { place, search } from "../app/router.js";
import { html, useState } from "../app/ui.js";
import { Line } from "./batch_line.js";
import { useLines } from "./batch_lines_data.js";

/** Lines that were never sent to an end, by the code that stands for it. @type {Record<string, {text: string, icon: string, tone: string}>} */
const NEVER_RAN = {
  batch_cancelled: { text: "Cancelled", icon: "stop", tone: "plain" },
  batch_expired: { text: "Expired", icon: "clock", tone: "warn" },
};

/** The choices; what never ran is beside what failed, and is not called so. @param {any} batch */
const outcomes = (batch) => [["", "All"], ["completed", "Answered"], ["failed", neverRan(batch.status, batch.request_counts) ? "Not answered" : "Failed"]];

/** @param {{batch: any, progress: any}} properties */
export function Lines({ batch, progress }) {
  const [wanted, setWanted] = useState({ custom_id: "", outcome: "" });
  const lines = useLines(batch, wanted);
  const line = place.value.query.line;
  const open = (/** @type {string|null} */ id) => search({ line: id });
  const at = lines.rows?.findIndex((row) => row.custom_id === line) ?? -1;
  const beside = (/** @type {number} */ step) => (at === -1 ? null : lines.rows?.[at + step]?.custom_id ?? null);
  const actions = html`<div class="search"><${Icon} name="search" /><label class="unseen" for="line-search">Search custom_id</label>
      <input id="line-search" type="search" placeholder="Search custom_id   /" value=${wanted.custom_id} onInput=${(/** @type {any} */ event) => setWanted({ ...wanted, custom_id: event.target.value })} /></div>
    <div class="tabs" role="group" aria-label="Outcome">${outcomes(batch).map(([name, text]) => html`<button key=${name} type="button" class="tab" aria-pressed=${wanted.outcome === name} onClick=${() => setWanted({ ...wanted, outcome: name })}>${text}</button>`)}</div>`;
  return html`<${Panel} title="Results" actions=${actions}>
    <${Failure} error=${lines.error?.passing ? null : lines.error} retry=${lines.refresh} />
    <div class="lines">
      ${!lines.rows && !lines.error && html`<${Skeleton} lines=${8} height=${38} />`}
      ${lines.rows?.length === 0 && html`<${NoLines} batch=${batch} progress=${progress} filtered=${Boolean(wanted.custom_id || wanted.outcome)} onAll=${() => setWanted({ custom_id: "", outcome: "" })} />`}
      ${Boolean(lines.rows?.length) && html`<${Table} rows=${lines.rows} onOpen=${open} />`}
    </div>
    <div class="row small muted line-end"><span role="status">${lines.rows ? `${number(lines.rows.length)} shown${lines.live ? "; new ones appear here when they come" : ""}` : ""}</span>
      ${lines.more && html`<${Button} busy=${lines.loading} onClick=${lines.loadMore}>${wanted.custom_id ? "Search on" : "Load more"}<//>`}</div>
    ${line && html`<${Line} key=${line} batch=${batch} customId=${line} onClose=${() => open(null)} before=${beside(-1)} after=${beside(1)} onGo=${open} />`}<//>`;
}

/** @param {{rows: any[], onOpen: (id: string) => void}} properties */
function Table({ rows, onOpen }) {
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    moveFocus(".line-open", step);
  };
  return html`<div class="line-scroll" tabindex="0" role="group" aria-label="Results" onKeyDown=${keys}><table class="line-table">
    <thead><tr><th scope="col">custom_id</th><th scope="col">Outcome</th><th scope="col">Answer</th><th scope="col" class="number">Tokens</th></tr></thead>
    <tbody>${rows.map((row) => html`<${Row} key=${row.custom_id} row=${row} onOpen=${onOpen} />`)}</tbody></table></div>`;
}

/** @param {{row: any, onOpen: (id: string) => void}} properties */
function Row({ row, onOpen }) {
  const failed = row.outcome === "failed";
  const never = NEVER_RAN[row.code];
  return html`<tr onClick=${() => onOpen(row.custom_id)}>
    <td><button type="button" class="link line-open cut" onClick=${(/** @type {Event} */ event) => (event.stopPropagation(), onOpen(row.custom_id))}>${row.custom_id}</button></td>
    <td>${never ? html`<span class=${`pill ${never.tone}`}><${Icon} name=${never.icon} />${never.text}</span>` : failed ? html`<span class="pill bad"><${Icon} name="cross" />${row.status_code ?? "Failed"}</span>` : html`<span class="pill good"><${Icon} name="check" />Answered</span>`}</td>
    <td><div class="cut">${failed ? html`<code class="small">${row.code}</code> ${row.message}` : (row.answer ?? html`<span class="muted">open it to see the answer</span>`)}</div></td>
    <td class="number muted">${row.input_tokens === null ? "–" : `${number(row.input_tokens)} + ${number(row.output_tokens ?? 0)}`}</td></tr>`;
}

/** @param {{batch: any, progress: any, filtered: boolean, onAll: () => void}} properties */
function NoLines({ batch, progress, filtered, onAll }) {
  if (filtered) return html`<${Empty} title="No result fits" icon="search" actions=${html`<${Button} onClick=${onAll}>Show all results<//>`}>No line that has come so far has this custom_id and outcome.<//>`;
  if (isOpen(batch.status)) return html`<${Empty} title="No results yet" icon="clock">${notYet(batch, progress)}<//>`;
  return html`<${Empty} title="No results">This job has no lines in its files, or the files have been deleted.<//>`;
}

/** Why there is nothing yet, and what has to happen first. @param {any} batch @param {any} progress */
function notYet(batch, progress) {
  if (batch.status === "finalizing") return "The files with the results are being written.";
  if (batch.status === "cancelling") return "The job is being stopped. Lines that were never answered are listed here then, as cancelled.";
  if (progress.waiting_on) return "Nothing of this job is sent at the moment; why is said above. Answers appear here when it has gone on.";
  if (batch.status === "validating") return progress.queue_position === null ? "Requests are sent when the file has been checked and there is room." : "Requests are sent when there is room in the deployment.";
  return "Nothing of it has been answered yet. Answers appear here when they come.";
}
