// @ts-check
/** Batch jobs: newest first, live, to be searched and filtered; with the keys, too. */
import { call } from "../app/api.js";
import { compact, setCompact } from "../app/density.js";
import { duration, money, number, percent, short } from "../app/formats.js";
import { moveFocus, useKeys } from "../app/keyboard.js";
import { Button, Empty, Failure, Heading, Skeleton, Time } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { neverRan, OPEN, Progress, Status, STATUSES } from "../app/parts/status.js";
import { now, usePoll } from "../app/polling.js";
import { place, search, to } from "../app/router.js";
import { mayAct } from "../app/session.js";
import { html, useEffect, useState } from "../app/ui.js";
import { useBatches } from "./batches_data.js";
import { FirstRun } from "./first_run.js";
import { isQuiet, Named, Trouble } from "./health.js";
import { chosenTags, ChosenTags, tagQuery, Tags, titleOf } from "./job_names.js";
import { waitsFor } from "./pauses.js";

/** One for each, by the status in the address; `failures`: only those of which requests have failed. */
const FILTERS = [
  { name: "", text: "All", statuses: Object.keys(STATUSES), failures: false },
  { name: OPEN.join(","), text: "Open", statuses: OPEN, failures: false },
  { name: "completed", text: STATUSES.completed.text, statuses: ["completed"], failures: false },
  { name: "completed", text: "With failures", statuses: ["completed"], failures: true },
  ...["failed", "expired", "cancelled"].map((name) => ({ name, text: STATUSES[name].text, statuses: [name], failures: false })),
];

export function Page() {
  const { query } = place.value;
  const { status = "", deployment = "", search: text = "", failures = "" } = query;
  const list = useBatches({ status, deployment, search: text, with_failures: failures ? "true" : "", ...tagQuery(query) });
  const deployments = usePoll((signal) => call("/deployment_status", { signal }), []).data?.data ?? null;
  const filtered = Boolean(status || deployment || text || failures || chosenTags(query).length);
  const rows = "a.job-link";
  useKeys({
    ArrowDown: () => moveFocus(rows, 1),
    ArrowUp: () => moveFocus(rows, -1),
    j: () => moveFocus(rows, 1),
    k: () => moveFocus(rows, -1),
  });
  const create = html`<${Button} kind="main" icon="plus" href=${to("/batches/new")} disabled=${!mayAct.value}
    why="Your role may look, but not create. Ask for a key with the role user.">Create batch job<//>`;
  return html`
    <${Heading} title="Batch jobs" actions=${create} />
    <${Trouble} deployments=${deployments} />
    <div class="filters"><${Search} text=${text} /><${DeploymentFilter} chosen=${deployment} known=${deployments} /><${StatusFilter} status=${status} failures=${Boolean(failures)} counts=${list.counts} withFailures=${list.withFailures} /><${Density} /></div>
    <${ChosenTags} query=${query} />
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!list.rows && !list.error && html`<${Skeleton} lines=${8} height=${44} />`}
    ${list.rows?.length === 0 && (filtered ? html`<${NothingFound} />` : html`<${FirstRun} otherwise=${html`<${NothingYet} create=${create} />`} />`)}
    ${Boolean(list.rows?.length) && html`<${Table} rows=${list.rows} query=${query} />`}
    ${list.more && html`<div class="more"><${Button} busy=${list.loadingMore} onClick=${list.loadMore}>Load more<//></div>`}
  `;
}

/** @param {{text: string}} properties */
function Search({ text }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed === text) return;
    const timer = setTimeout(() => search({ search: typed.trim() || null }), 250);
    return () => clearTimeout(timer);
  }, [typed]);
  const escape = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && (typed ? setTyped("") : /** @type {any} */ (event.target).blur());
  return html`<div class="search"><${Icon} name="search" /><label class="unseen" for="search">Search jobs</label>
    <input id="search" type="search" placeholder="Search id, file, metadata   /" value=${typed} autocomplete="off" onKeyDown=${escape}
      onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></div>`;
}

/** @param {{chosen: string, known: any[]|null}} properties */
function DeploymentFilter({ chosen, known }) {
  const names = [...new Set([...(known ?? []).map((/** @type {any} */ each) => each.name), ...(chosen ? [chosen] : [])])];
  return html`<div class="deployment-filter"><label class="unseen" for="deployment">Deployment</label>
    <select id="deployment" value=${chosen} onChange=${(/** @type {any} */ event) => search({ deployment: event.target.value || null })}>
      <option value="">All deployments</option>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></div>`;
}

/** @param {{status: string, failures: boolean, counts: Record<string, number>|null, withFailures: number|null}} properties */
function StatusFilter({ status, failures, counts, withFailures }) {
  const sum = (/** @type {string[]} */ statuses) => statuses.reduce((total, each) => total + (counts?.[each] ?? 0), 0);
  return html`<div class="tabs" role="group" aria-label="Status">${FILTERS.map(
    (each) => html`<button type="button" key=${each.text} class="tab" aria-pressed=${status === each.name && failures === each.failures} onClick=${() => search({ status: each.name || null, failures: each.failures ? "yes" : null })}>
      ${each.text} <span class="small muted count">${counts ? short(each.failures ? withFailures : sum(each.statuses)) : ""}</span></button>`,
  )}</div>`;
}

/** Rows of one line, or of three. */
const Density = () => html`<button type="button" class="tab density" aria-pressed=${compact.value} title="Rows of one line; this browser remembers it" onClick=${() => setCompact(!compact.value)}>Compact</button>`;

/** @param {{rows: any[], query: Record<string, string>}} properties */
function Table({ rows, query }) {
  return html`<div class="table"><table class=${`cards jobs ${compact.value ? "compact-rows" : ""}`}>
    <thead><tr><th scope="col">Job</th><th scope="col">Status</th><th scope="col">Progress</th><th scope="col">Deployment</th>
      <th scope="col" class="number">Tokens <span class="unit"></span></th><th scope="col" class="number">Cost</th><th scope="col" class="number">Created</th></tr></thead>
    <tbody>${rows.map((row) => html`<${Row} key=${row.id} row=${row} query=${query} />`)}</tbody></table></div>`;
}

/** @param {{row: any, query: Record<string, string>}} properties */
function Row({ row, query }) {
  const done = row.counts.completed + row.counts.failed;
  const queued = row.status === "validating" && row.queue_position !== null;
  const waits = queued || row.waiting_on !== null;
  const never = neverRan(row.status, row.counts);
  const delayed = row.waiting_on !== null || isQuiet(row.quiet_since);
  return html`<tr>
    <td class="full"><${Job} row=${row} query=${query} /></td>
    <td><${Status} status=${row.status} waits=${waits} counts=${row.counts} /></td>
    <td class="full progress-cell">${row.error
      ? html`<span class="small error-text" title=${row.error}>${row.error}</span>`
      : html`<${Progress} counts=${row.counts} label=${`Progress of ${row.id}`} /><div class="small muted row tight nowrap">
          <span class=${delayed ? "" : "cut"}>${queued ? `${number(row.queue_position)}. in the queue` : `${number(done)} / ${number(row.counts.total)}`}</span>
          ${delayed && html`<${Delay} row=${row} />`}
          ${row.counts.failed > 0 && html`<span class="failed-count">${number(row.counts.failed)} failed</span>`}
          ${never > 0 && html`<span>${number(never)} ${row.status}</span>`}
          <span class="push">${queued || delayed ? "" : percent(done, row.counts.total)}</span></div>`}</td>
    <td data-label="Deployment"><div class="cut" title=${row.model ?? ""}>${row.deployment ? html`<${Named} name=${row.deployment} />` : "–"}</div></td>
    <td class="number" data-label="Tokens"><div title=${`${number(row.input_tokens)} in`}>${short(row.input_tokens)} <span class="muted small unit">in</span></div>
      <div title=${`${number(row.output_tokens)} out`}>${short(row.output_tokens)} <span class="muted small unit">out</span></div></td>
    <td class="number" data-label="Cost">${money(row.cost, row.currency)}</td>
    <td class="number" data-label="Created"><${Time} at=${row.created_at} relative />
      <div class="muted small took">${row.ended_at === null ? "for" : "took"} ${duration((row.ended_at ?? now.value) - row.created_at)}</div></td>
  </tr>`;
}

/** What it is called, its id and its input file, and the rest of its metadata. @param {{row: any, query: Record<string, string>}} properties */
function Job({ row, query }) {
  const title = titleOf(row.metadata, row.filename);
  const there = row.filename && row.input_file_id;
  return html`<div class="job"><a class="job-link cut" title=${title} href=${to(`/batches/${row.id}`)}>${title}</a>
    <div class="job-more small muted"><code class="cut" title=${row.id}>${row.id}</code>${there && html`<a class="cut" href=${to("/files", { file: row.input_file_id })} title=${`Input file ${row.filename}`}>${title === row.filename ? "file" : row.filename}</a>`}</div>
    <${Tags} metadata=${row.metadata} query=${query} /></div>`;
}

/** Why nothing moves, and the way to it. @param {{row: any}} properties */
function Delay({ row }) {
  const text = row.waiting_on ? waitsFor(row.waiting_on) : `No answer for ${duration(now.value - row.quiet_since)}`;
  const whole = row.waiting_on?.reason ? `${text}: ${row.waiting_on.reason}` : text;
  if (row.waiting_on?.what === "batch" || !row.deployment) return html`<span class="cut waits-for" title=${whole}>${text}</span>`;
  return html`<a class="cut waits-for" href=${to("/deployments", { search: row.deployment })} title=${whole}>${text}</a>`;
}

/** @param {{create: any}} properties */
const NothingYet = ({ create }) => html`<${Empty} title="No batch jobs yet" actions=${create}>
  A batch job sends every line of a <code>.jsonl</code> file to a deployment and collects the answers in one file. Choose a file,
  see what is wrong with it before anything is sent, and watch the answers arrive. No file at hand? There is an example.<//>`;

const NothingFound = () => html`<${Empty} title="No job fits" icon="search"
  actions=${html`<${Button} href=${to("/")}>Show all jobs<//>`}>Nothing has this status, deployment, metadata and text together. The search looks at ids, file names and metadata.<//>`;
