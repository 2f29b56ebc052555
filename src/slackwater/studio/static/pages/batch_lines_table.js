// @ts-check
/** Rows of results. On a phone each is a card; with the arrow keys the focus goes from row to row. */
import { number } from "../app/formats.js";
import { moveFocus } from "../app/keyboard.js";
import { Icon } from "../app/parts/icons.js";
import { html, useEffect, useRef } from "../app/ui.js";

/** Lines that were never sent to an end, by the code that stands for it. @type {Record<string, {text: string, icon: string, tone: string}>} */
const NEVER_RAN = {
  batch_cancelled: { text: "Cancelled", icon: "stop", tone: "plain" },
  batch_expired: { text: "Expired", icon: "clock", tone: "warn" },
};
const PLACES = /** @type {Record<string, string>} */ ({ prompt: "in the prompt", answer: "in the answer", custom_id: "in the id" });

/** @param {{rows: any[], mark: number|null, onOpen: (id: string) => void}} properties */
export function Table({ rows, mark, onOpen }) {
  const scroll = useRef(/** @type {HTMLElement|null} */ (null));
  const first = rows[0].custom_id;
  // Another page begins at its top, or at the line that was asked for.
  useEffect(() => {
    const marked = scroll.current?.querySelector(".marked");
    if (marked) marked.scrollIntoView({ block: "nearest" });
    else scroll.current?.scrollTo(0, 0);
  }, [first, mark]);
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    moveFocus(".line-open", step);
  };
  return html`<div class="line-scroll" ref=${scroll} tabindex="0" role="group" aria-label="Results" onKeyDown=${keys}><table class="line-table">
    <thead><tr><th scope="col" class="number">Line</th><th scope="col">custom_id</th><th scope="col">Outcome</th><th scope="col">Answer</th><th scope="col" class="number">Tokens</th><th scope="col" class="number">Latency</th></tr></thead>
    <tbody>${rows.map((row) => html`<${Row} key=${row.custom_id || row.line} row=${row} marked=${mark !== null && row.line === mark} onOpen=${onOpen} />`)}</tbody></table></div>`;
}

/** @param {{row: any, marked: boolean, onOpen: (id: string) => void}} properties */
function Row({ row, marked, onOpen }) {
  return html`<tr class=${marked ? "marked" : ""} onClick=${() => onOpen(row.custom_id)}>
    <td class="number muted">${number(row.line)}</td>
    <td><button type="button" class="link line-open cut" onClick=${(/** @type {Event} */ event) => (event.stopPropagation(), onOpen(row.custom_id))}>${row.custom_id}</button></td>
    <td><${Outcome} row=${row} /></td>
    <td><div class="cut">${row.excerpt ? html`<${Excerpt} row=${row} />` : html`<${Said} row=${row} />`}</div></td>
    <td class="number muted">${row.input_tokens === null && row.output_tokens === null ? "–" : `${number(row.input_tokens)} + ${number(row.output_tokens ?? 0)}`}</td>
    <td class="number muted">${seconds(row.latency_seconds)}</td></tr>`;
}

/** @param {{row: any}} properties */
export function Outcome({ row }) {
  const never = NEVER_RAN[row.code];
  if (never) return html`<span class=${`pill ${never.tone}`}><${Icon} name=${never.icon} />${never.text}</span>`;
  if (row.outcome === "failed") return html`<span class="pill bad"><${Icon} name="cross" />${row.status_code ?? "Failed"}</span>`;
  return html`<span class="pill good"><${Icon} name="check" />Answered</span>`;
}

/** What a result says, or what went wrong. @param {{row: any}} properties */
export function Said({ row }) {
  if (row.outcome === "failed") return html`<code class="small">${row.code}</code> ${row.message}`;
  return row.answer ?? html`<span class="muted">open it to see the answer</span>`;
}

/** The place that was found. What comes before it is cut where the column is short, not the place. @param {{row: any}} properties */
function Excerpt({ row }) {
  const { text, start, end } = row.excerpt;
  return html`<span class="muted small found-in">${PLACES[row.found_in]}</span> ${start > 24 ? `…${text.slice(start - 24, start)}` : text.slice(0, start)}<mark class="found">${text.slice(start, end)}</mark>${text.slice(end)}`;
}

/** @param {number|null} value */
function seconds(value) {
  if (value === null) return "–";
  if (value < 1) return `${Math.round(value * 1000)} ms`;
  return value < 10 ? `${value.toFixed(2)} s` : value < 100 ? `${value.toFixed(1)} s` : `${number(Math.round(value))} s`;
}
