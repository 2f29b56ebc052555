// @ts-check
/** Two jobs line by line: another job is chosen, and their answers stand side by side, those that differ first. */
import { call, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { moveFocus } from "../app/keyboard.js";
import { Button, Empty, Failure, Notice, Skeleton, Time } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { isOpen, Status } from "../app/parts/status.js";
import { useLoad, usePoll } from "../app/polling.js";
import { place, search, to } from "../app/router.js";
import { html, useEffect, useState } from "../app/ui.js";
import { Side } from "./batch_line.js";
import { PAGE } from "./batch_lines_data.js";
import { Outcome, Said } from "./batch_lines_table.js";
import { answerOf, promptOf } from "./line_content.js";

const SHOWN = [["all", "All"], ["different", "Different"], ["same", "Same"], ["only_here", "Only here"], ["only_there", "Only there"]];

/** @param {{batch: any, onClose: () => void}} properties */
export function ChooseJob({ batch, onClose }) {
  const [typed, setTyped] = useState("");
  const [text, setText] = useState("");
  useEffect(() => {
    const timer = setTimeout(() => setText(typed.trim()), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  const list = useLoad((signal) => call("/batch_overview", { query: { limit: 20, search: text }, signal }), [text]);
  const rows = (list.data?.data ?? []).filter((/** @type {any} */ row) => row.id !== batch.id && row.counts.completed + row.counts.failed > 0);
  const choose = (/** @type {string} */ id) => (search({ with: id, show: null, at: null, line: null }), onClose());
  return html`<${Dialog} title="Compare with another job" wide onClose=${onClose}><div class="stack">
    <p class="muted">Lines belong together by their custom_id. Two answers are the same where their texts are.</p>
    <div><label class="unseen" for="compare-search">Search jobs</label><input id="compare-search" type="search" placeholder="Search id, file, metadata" value=${typed} autocomplete="off" onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></div>
    <${Failure} error=${list.error} retry=${list.refresh} />
    <div class="choose-jobs">${!list.data && !list.error && html`<${Skeleton} lines=${4} height=${46} />`}
      ${list.data && !rows.length && html`<p class="muted">No other job with results ${text ? "fits." : "is here yet."}</p>`}
      <ul class="job-choices">${rows.map((/** @type {any} */ row) => html`<li key=${row.id}><button type="button" class="job-choice" onClick=${() => choose(row.id)}>
        <span class="cut"><strong>${row.filename ?? row.id}</strong></span><${Status} status=${row.status} counts=${row.counts} />
        <span class="small muted cut">${row.deployment ?? "–"} · ${number(row.counts.total)} lines · <${Time} at=${row.created_at} relative /> · ${row.id}</span></button></li>`)}</ul></div></div><//>`;
}

/** @param {{batch: any, other: string}} properties */
export function Compared({ batch, other }) {
  const { show = "all", at = "0", line } = place.value.query;
  const job = useLoad((signal) => call(`/batches/${part(other)}`, { signal }), [other]);
  const ended = !isOpen(batch.status) && job.data && !isOpen(job.data.status);
  const query = { with: other, show, offset: at === "0" ? "" : at, limit: PAGE };
  const known = usePoll((signal) => call(`/batches/${part(batch.id)}/comparison`, { query, signal }), [batch.id, JSON.stringify(query)], { again: () => !ended });
  const rows = known.data?.data ?? null;
  const open = (/** @type {string|null} */ id) => search({ line: id });
  const stop = () => search({ with: null, show: null, at: null, line: null });
  const index = rows?.findIndex((/** @type {any} */ row) => row.custom_id === line) ?? -1;
  const beside = (/** @type {number} */ step) => (index === -1 ? null : rows?.[index + step]?.custom_id ?? null);
  const pages = (/** @type {number} */ offset) => search({ at: offset ? String(offset) : null });
  const total = known.data?.total ?? 0;
  const first = known.data?.offset ?? 0;
  const last = Math.max(0, Math.ceil(total / PAGE) - 1) * PAGE;
  return html`<div class="compared-with"><span>Compared with <a href=${to(`/batches/${other}`)}>${other}</a>${job.data && html`<span class="muted"> · ${job.data.model ?? "no model yet"} · <${Time} at=${job.data.created_at} /></span>`}</span><span class="push"></span><${Button} icon="close" onClick=${stop}>Stop comparing<//></div>
    <${Failure} error=${known.error?.passing ? null : known.error} title="These two cannot be compared." retry=${known.refresh} />
    <div class="tabs" role="group" aria-label="Lines">${SHOWN.map(([name, text]) => html`<button key=${name} type="button" class="tab" aria-pressed=${show === name} onClick=${() => search({ show: name === "all" ? null : name, at: null })}>${text} <span class="small muted count">${known.data ? number(known.data.counts[name]) : ""}</span></button>`)}</div>
    <div class="lines">${!rows && !known.error && html`<${Skeleton} lines=${10} height=${38} />`}
      ${rows?.length === 0 && html`<${Empty} title="No such lines" icon="search">${show === "different" ? "Every line that both jobs have got the same answer." : "None of the lines of these two jobs is of this kind."}<//>`}
      ${Boolean(rows?.length) && html`<${Pairs} rows=${rows} onOpen=${open} />`}</div>
    <div class="pager"><span class="number" role="status">${known.data && total ? html`<strong>${number(first + 1)}–${number(first + rows.length)}</strong> of ${number(total)}${show === "all" ? html`<span class="small muted"> · those that differ first</span>` : ""}` : ""}</span>
      <div class="row pager-ways"><${Button} icon="left" disabled=${!first} onClick=${() => pages(Math.max(0, first - PAGE))}>Previous<//><${Button} disabled=${first >= last} onClick=${() => pages(first + PAGE)}>Next<//>
        <${Button} icon="last" label="Last page" disabled=${first >= last} onClick=${() => pages(last)} /></div></div>
    ${line && html`<${Both} key=${line} batch=${batch} other=${other} customId=${line} onClose=${() => open(null)} before=${beside(-1)} after=${beside(1)} onGo=${open} />`}`;
}

/** @param {{rows: any[], onOpen: (id: string) => void}} properties */
function Pairs({ rows, onOpen }) {
  const keys = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    moveFocus(".line-open", step);
  };
  return html`<div class="line-scroll" tabindex="0" role="group" aria-label="Two jobs" onKeyDown=${keys}><table class="line-table pair-table">
    <thead><tr><th scope="col">custom_id</th><th scope="col"></th><th scope="col">This job</th><th scope="col">The other job</th></tr></thead>
    <tbody>${rows.map((row) => html`<tr key=${row.custom_id} onClick=${() => onOpen(row.custom_id)}>
      <td><button type="button" class="link line-open cut" onClick=${(/** @type {Event} */ event) => (event.stopPropagation(), onOpen(row.custom_id))}>${row.custom_id}</button></td>
      <td>${row.same ? html`<span class="pill good">Same</span>` : row.here && row.there ? html`<span class="pill warn">Different</span>` : html`<span class="pill">${row.here ? "Only here" : "Only there"}</span>`}</td>
      <td><${Cell} row=${row.here} name="This job" /></td><td><${Cell} row=${row.there} name="The other job" /></td></tr>`)}</tbody></table></div>`;
}

/** @param {{row: any, name: string}} properties */
function Cell({ row, name }) {
  return html`<div class="cut-two" data-label=${name}>${row ? html`${row.outcome === "failed" && html`<${Outcome} row=${row} /> `}<${Said} row=${row} />` : html`<span class="muted">no result</span>`}</div>`;
}

/** One request and its two answers. @param {{batch: any, other: string, customId: string, before: string|null, after: string|null, onGo: (id: string) => void, onClose: () => void}} properties */
function Both({ batch, other, customId, before, after, onGo, onClose }) {
  const [raw, setRaw] = useState(false);
  const nothing = (/** @type {any} */ error) => {
    if (error.status === 404) return null;
    throw error;
  };
  const line = (/** @type {string} */ id, /** @type {AbortSignal} */ signal) => call(`/batches/${part(id)}/line`, { query: { custom_id: customId }, signal }).catch(nothing);
  const known = useLoad((signal) => Promise.all([line(batch.id, signal), line(other, signal)]), [batch.id, other, customId]);
  const [here, there] = known.data ?? [];
  const loading = !known.data && !known.error;
  const actions = html`<${Button} icon="left" disabled=${!before} onClick=${() => before && onGo(before)}>Previous<//><${Button} disabled=${!after} onClick=${() => after && onGo(after)}>Next<//>
    <span class="push"></span><${Button} icon="code" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>${raw ? "Show as text" : "Show JSON"}<//>`;
  const asks = here?.request ?? there?.request;
  const apart = here?.request && there?.request && JSON.stringify(here.request.body) !== JSON.stringify(there.request.body);
  return html`<${Dialog} title=${customId} wide onClose=${onClose} actions=${actions}>
    <${Failure} error=${known.error} title="This line cannot be shown." retry=${known.refresh} />
    <div class="stack">${apart && html`<${Notice} kind="warn"><p>The two jobs asked differently here. What this job asked is shown.</p><//>`}
      <${Side} title="Asked" object=${asks} raw=${raw} loading=${loading} nothing="The input file has been deleted, so the question cannot be shown." parts=${promptOf} />
      <div class="sides"><${Side} title="This job answered" object=${here?.result} raw=${raw} loading=${loading} nothing="This job has no answer to it." parts=${answerOf} />
        <${Side} title="The other job answered" object=${there?.result} raw=${raw} loading=${loading} nothing="The other job has no answer to it." parts=${answerOf} /></div></div><//>`;
}
