// @ts-check
/** The results of a job as a table: any page of it, in an order, filtered, searched, compared with another job, as a file. */
import { number } from "../app/formats.js";
import { useKeys } from "../app/keyboard.js";
import { Button, Empty, Failure, Panel, Skeleton } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { isOpen, neverRan } from "../app/parts/status.js";
import { place, search } from "../app/router.js";
import { html, useEffect, useState } from "../app/ui.js";
import { ChooseJob, Compared } from "./batch_compare.js";
import { ExportDialog } from "./batch_export.js";
import { Line } from "./batch_line.js";
import { ask, asked, ORDERS, PAGE, placeOf, useSearch, useTable } from "./batch_lines_data.js";
import { Codes } from "./batch_lines_codes.js";
import { Table } from "./batch_lines_table.js";

const TYPING_MILLISECONDS = 400;

/** The choices; what never ran is beside what failed, and is not called so. @param {any} batch */
const outcomes = (batch) => [["", "All"], ["completed", "Answered"], ["failed", neverRan(batch.status, batch.request_counts) ? "Not answered" : "Failed"]];

/** @param {{batch: any, progress: any}} properties */
export function Lines({ batch, progress }) {
  const [opened, setOpened] = useState(/** @type {"export"|"compare"|null} */ (null));
  const other = place.value.query.with;
  const stored = Boolean(batch.output_blob || batch.error_blob);
  const actions = html`<${Button} icon="pack" onClick=${() => setOpened("compare")}>Compare…<//>
    ${!other && html`<${Button} icon="download" onClick=${() => setOpened("export")}>Export…<//>`}`;
  return html`<${Panel} title="Results" id="results" actions=${!stored && actions}>
    ${other ? html`<${Compared} key=${other} batch=${batch} other=${other} />` : html`<${Results} batch=${batch} progress=${progress} />`}
    ${opened === "compare" && html`<${ChooseJob} batch=${batch} onClose=${() => setOpened(null)} />`}
    ${opened === "export" && html`<${ExportDialog} batch=${batch} onClose=${() => setOpened(null)} />`}<//>`;
}

/** @param {{batch: any, progress: any}} properties */
function Results({ batch, progress }) {
  const wanted = asked();
  const table = useTable(batch, wanted);
  const searched = useSearch(batch, wanted);
  const [mark, setMark] = useState(/** @type {number|null} */ (null));
  const rows = wanted.find ? (searched.found?.rows ?? null) : (table.data?.data ?? null);
  const error = wanted.find ? searched.error : table.error;
  const line = place.value.query.line;
  const at = rows?.findIndex((/** @type {any} */ row) => row.custom_id === line) ?? -1;
  const beside = (/** @type {number} */ step) => (at === -1 ? null : rows?.[at + step]?.custom_id ?? null);
  const open = (/** @type {string|null} */ id) => search({ line: id });
  const everything = () => ask({ find: null, outcome: null, code: null });
  const filtered = Boolean(wanted.find || wanted.outcome || wanted.code);
  return html`<${Filters} batch=${batch} wanted=${wanted} />
    <${Failure} error=${error?.passing ? null : error} retry=${wanted.find ? searched.again : table.refresh} />
    <div class="lines" aria-busy=${wanted.find ? searched.loading : table.loading}>
      ${!rows && !error && html`<${Skeleton} lines=${10} height=${38} />`}
      ${rows?.length === 0 && (searched.loading && wanted.find ? html`<${Skeleton} lines=${10} height=${38} />` : html`<${NoLines} batch=${batch} progress=${progress} wanted=${wanted} filtered=${filtered} page=${searched.found?.page} onAll=${everything} />`)}
      ${Boolean(rows?.length) && html`<${Table} rows=${rows} mark=${mark} onOpen=${open} />`}
    </div>
    ${wanted.find ? html`<${HowFar} searched=${searched} />` : html`<${Pager} batch=${batch} wanted=${wanted} data=${table.data} onMark=${setMark} />`}
    ${line && html`<${Line} key=${line} batch=${batch} customId=${line} onClose=${() => open(null)} before=${beside(-1)} after=${beside(1)} onGo=${open} />`}`;
}

/** @param {{batch: any, wanted: import("./batch_lines_data.js").Asked}} properties */
function Filters({ batch, wanted }) {
  const [typed, setTyped] = useState(wanted.find);
  useEffect(() => setTyped(wanted.find), [wanted.find]);
  useEffect(() => {
    if (typed.trim() === wanted.find) return undefined;
    const timer = setTimeout(() => ask({ find: typed.trim() || null }), TYPING_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [typed]);
  useKeys({ "/": () => document.getElementById("line-search")?.focus() });
  const keys = (/** @type {KeyboardEvent} */ event) => {
    if (event.key === "Escape" && typed) setTyped("");
    if (event.key === "Enter") ask({ find: typed.trim() || null });
  };
  return html`<div class="line-filters">
    <div class="search"><${Icon} name="search" /><label class="unseen" for="line-search">Search results</label>
      <input id="line-search" type="search" maxlength="500" placeholder="Search ids, prompts and answers   /" value=${typed} autocomplete="off" onKeyDown=${keys} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></div>
    <div class="tabs" role="group" aria-label="Outcome">${outcomes(batch).map(([name, text]) => html`<button key=${name} type="button" class="tab" aria-pressed=${!wanted.code && wanted.outcome === name} onClick=${() => ask({ outcome: name || null, code: null })}>${text}</button>`)}</div>
    <${Codes} batch=${batch} chosen=${wanted.code} />
    <div class="line-order push"><label class="unseen" for="line-order">Order</label>
      <select id="line-order" value=${wanted.order} disabled=${Boolean(wanted.find)} title=${wanted.find ? "What a search finds comes as it is found." : ""} onChange=${(/** @type {any} */ event) => ask({ order: event.target.value === "arrival" ? null : event.target.value })}>
        ${Object.entries(ORDERS).map(([name, each]) => html`<option key=${name} value=${name}>${each.text}</option>`)}</select></div></div>`;
}

/** Which rows these are of how many, and the way to others. @param {{batch: any, wanted: import("./batch_lines_data.js").Asked, data: any, onMark: (line: number|null) => void}} properties */
function Pager({ batch, wanted, data, onMark }) {
  const total = data?.total ?? 0;
  const first = data?.offset ?? 0;
  const shown = data?.data.length ?? 0;
  const last = Math.max(0, Math.ceil(total / PAGE) - 1) * PAGE;
  const to = (/** @type {number} */ offset) => (onMark(null), search({ at: offset ? String(offset) : null }));
  const live = isOpen(batch.status);
  return html`<div class="pager"><span class="number" role="status">${data ? (total ? html`<strong>${number(first + 1)}–${number(first + shown)}</strong> of ${number(total)}` : "No results") : ""}<span class="muted small">${data && live ? " so far" : ""}${data && !data.ready ? " · preparing the table…" : ""}</span></span>
    <div class="row pager-ways"><${Button} icon="first" label="First page" disabled=${!first} onClick=${() => to(0)} />
      <${Button} icon="left" disabled=${!first} onClick=${() => to(Math.max(0, first - PAGE))}>Previous<//>
      <${Button} disabled=${first >= last} onClick=${() => to(first + PAGE)}>Next<//>
      <${Button} icon="last" label="Last page" disabled=${first >= last} onClick=${() => to(last)} /></div>
    <${Jump} batch=${batch} wanted=${wanted} last=${last} onPage=${to} onMark=${onMark} /></div>`;
}

/** To a page, or to a line of the input. @param {{batch: any, wanted: any, last: number, onPage: (offset: number) => void, onMark: (line: number|null) => void}} properties */
function Jump({ batch, wanted, last, onPage, onMark }) {
  const [what, setWhat] = useState("line");
  const [typed, setTyped] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const go = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const wish = Number.parseInt(typed, 10);
    if (!(wish > 0)) return;
    setError(null);
    if (what === "page") return onPage(Math.min((wish - 1) * PAGE, last));
    setBusy(true);
    try {
      const offset = await placeOf(batch, wanted, wish);
      search({ order: wanted.order === "line-down" ? "line-down" : "line", at: offset ? String(offset) : null });
      onMark(wish);
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  return html`<form class="row jump" onSubmit=${go}><label class="unseen" for="jump-what">Go to a</label>
    <select id="jump-what" value=${what} onChange=${(/** @type {any} */ event) => setWhat(event.target.value)}><option value="line">Line</option><option value="page">Page</option></select>
    <label class="unseen" for="jump-to">Number of the ${what}</label><input id="jump-to" type="number" min="1" step="1" inputmode="numeric" value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />
    <${Button} type="submit" busy=${busy} disabled=${!(Number.parseInt(typed, 10) > 0)} why="Type a number first.">Go<//>
    ${error && html`<span class="small fault" role="alert">${error.message}</span>`}</form>`;
}

/** How far a search has come, and the way on. @param {{searched: any}} properties */
function HowFar({ searched }) {
  const page = searched.found?.page;
  return html`<div class="pager"><span role="status">${page && searched.fresh ? html`<strong>${number(searched.found.rows.length)}</strong> found in ${far(page)}` : "Searching…"}</span>
    ${page?.has_more && html`<${Button} icon="search" busy=${searched.loading} onClick=${searched.goOn}>Search on<//>`}</div>`;
}

/** @param {any} page */
function far(page) {
  const gone = page.input_gone ? " The prompts cannot be searched: the input file has been deleted." : "";
  const over = page.passed_over ? ` ${number(page.passed_over)} answers of more than 8 MiB were passed over.` : "";
  if (!page.has_more) return `all ${number(page.results)} results${page.input_gone ? "." : " and their prompts."}${gone}${over}`;
  if (page.results_searched < page.results) return `${number(page.results_searched)} of ${number(page.results)} answers; the prompts come after them.${over}`;
  const share = page.input_bytes ? ` and ${Math.floor((100 * page.input_bytes_searched) / page.input_bytes)} % of the prompts.` : " and a part of the prompts.";
  return `all ${number(page.results)} answers${share}${over}`;
}

/** @param {{batch: any, progress: any, wanted: any, filtered: boolean, page: any, onAll: () => void}} properties */
function NoLines({ batch, progress, wanted, filtered, page, onAll }) {
  if (wanted.find && page?.has_more) return html`<${Empty} title="Nothing found yet" icon="search">${`Looked through ${far(page)}`} “Search on” goes on from there.<//>`;
  if (filtered) return html`<${Empty} title="No result fits" icon="search" actions=${html`<${Button} onClick=${onAll}>Show all results<//>`}>${wanted.find ? "No id, prompt or answer of the results so far has this text." : "No result that has come so far is of this kind."}<//>`;
  if (isOpen(batch.status)) return html`<${Empty} title="No results yet" icon="clock">${notYet(batch, progress)}<//>`;
  if (batch.output_blob || batch.error_blob) return html`<${Empty} title="The results are in your storage">This service has kept no copy of them. Their addresses stand above.<//>`;
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
