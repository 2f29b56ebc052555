// @ts-check
/** The results of a job in the order in which they arrive, while it runs and afterwards; to be searched by custom_id. */
import { number } from "../app/formats.js";
import { moveFocus } from "../app/keyboard.js";
import { Button, Empty, Failure, Panel, Skeleton } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { isOpen } from "../app/parts/status.js";
import { place, search } from "../app/router.js";
import { html, useState } from "../app/ui.js";
import { Line } from "./batch_line.js";
import { useLines } from "./batch_lines_data.js";

const OUTCOMES = [["", "All"], ["completed", "Answered"], ["failed", "Failed"]];

/** @param {{batch: any}} properties */
export function Lines({ batch }) {
  const [wanted, setWanted] = useState({ custom_id: "", outcome: "" });
  const lines = useLines(batch, wanted);
  const line = place.value.query.line;
  const open = (/** @type {string|null} */ id) => search({ line: id });
  const at = lines.rows?.findIndex((row) => row.custom_id === line) ?? -1;
  const beside = (/** @type {number} */ step) => (at === -1 ? null : lines.rows?.[at + step]?.custom_id ?? null);
  const actions = html`<div class="search"><${Icon} name="search" /><label class="unseen" for="line-search">Search custom_id</label>
      <input id="line-search" type="search" placeholder="Search custom_id   /" value=${wanted.custom_id} onInput=${(/** @type {any} */ event) => setWanted({ ...wanted, custom_id: event.target.value })} /></div>
    <div class="tabs" role="group" aria-label="Outcome">${OUTCOMES.map(([name, text]) => html`<button key=${name} type="button" class="tab" aria-pressed=${wanted.outcome === name} onClick=${() => setWanted({ ...wanted, outcome: name })}>${text}</button>`)}</div>`;
  return html`<${Panel} title="Results" actions=${actions}>
    <${Failure} error=${lines.error?.passing ? null : lines.error} retry=${lines.refresh} />
    <div class="lines">
      ${!lines.rows && !lines.error && html`<${Skeleton} lines=${8} height=${38} />`}
      ${lines.rows?.length === 0 && html`<${NoLines} batch=${batch} filtered=${Boolean(wanted.custom_id || wanted.outcome)} onAll=${() => setWanted({ custom_id: "", outcome: "" })} />`}
      ${Boolean(lines.rows?.length) && html`<${Table} rows=${lines.rows} onOpen=${open} />`}
    </div>
    <div class="row small muted line-end"><span role="status">${lines.rows ? `${number(lines.rows.length)} shown${lines.live ? "; new ones appear here" : ""}` : ""}</span>
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
  return html`<tr onClick=${() => onOpen(row.custom_id)}>
    <td><button type="button" class="link line-open cut" onClick=${(/** @type {Event} */ event) => (event.stopPropagation(), onOpen(row.custom_id))}>${row.custom_id}</button></td>
    <td>${failed ? html`<span class="pill bad"><${Icon} name="cross" />${row.status_code ?? "Failed"}</span>` : html`<span class="pill good"><${Icon} name="check" />Answered</span>`}</td>
    <td><div class="cut">${failed ? html`<code class="small">${row.code}</code> ${row.message}` : (row.answer ?? html`<span class="muted">open it to see the answer</span>`)}</div></td>
    <td class="number muted">${row.input_tokens === null ? "–" : `${number(row.input_tokens)} + ${number(row.output_tokens ?? 0)}`}</td></tr>`;
}

/** @param {{batch: any, filtered: boolean, onAll: () => void}} properties */
function NoLines({ batch, filtered, onAll }) {
  if (filtered) return html`<${Empty} title="No result fits" icon="search" actions=${html`<${Button} onClick=${onAll}>Show all results<//>`}>No line that has come so far has this custom_id and outcome.<//>`;
  if (isOpen(batch.status)) return html`<${Empty} title="No results yet" icon="clock">${batch.status === "validating" ? "Requests are sent when the file has been checked and there is room." : "The first ones are on their way. They appear here by themselves."}<//>`;
  return html`<${Empty} title="No results">This job has no lines in its files, or the files have been deleted.<//>`;
}
