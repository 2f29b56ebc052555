// @ts-check
/** Audit log: who did what to which object, newest first; to be searched, looked into, and exported. */
import { call } from "../app/api.js";
import { utc, dateTime, number } from "../app/formats.js";
import { Button, Empty, Failure, Heading, Skeleton, Time } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { Icon } from "../app/parts/icons.js";
import { Json } from "../app/parts/json.js";
import { useLoad } from "../app/polling.js";
import { place, search, to } from "../app/router.js";
import { isAdmin, session } from "../app/session.js";
import { html, useEffect, useState } from "../app/ui.js";
import { useEntries } from "./audit_data.js";
import { Export } from "./audit_export.js";
import { ACTIONS, actionText, linkOf } from "./audit_words.js";

const PAUSE_MILLISECONDS = 300;

export function Page() {
  if (!isAdmin.value) {
    return html`<${Heading} title="Audit log" /><${Empty} title="Only administrators read the audit log" icon="audit" actions=${html`<${Button} kind="main" href=${to("/")}>Go to the batch jobs<//>`}>
      You are signed in with the role ${session.value?.role}. Ask an administrator, or sign out and sign in with a key of the role admin.<//>`;
  }
  return html`<${Log} />`;
}

function Log() {
  const { who = "", action = "", target = "", entry: shown } = place.value.query;
  const filter = { who, action, target };
  const list = useEntries(filter);
  const [exporting, setExporting] = useState(false);
  const filtered = Boolean(who || action || target);
  return html`
    <${Heading} title="Audit log" actions=${html`<${Button} icon="download" disabled=${!list.rows?.length} why="There is nothing to export." onClick=${() => setExporting(true)}>Export<//>`} />
    <div class="filters">
      <${Filter} name="who" label="Who" placeholder="Who, such as user/key1" text=${who} />
      <${Filter} name="action" label="Action" placeholder="Action, such as delete" text=${action} choices=${ACTIONS} />
      <${Filter} name="target" label="Object" placeholder="Id of a job, a file …" text=${target} />
      <${Button} kind="quiet" icon="close" disabled=${!filtered} why="There are no filters." onClick=${() => search({ who: null, action: null, target: null })}>Clear<//>
    </div>
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!list.rows && !list.error && html`<${Skeleton} lines=${8} height=${44} />`}
    ${list.rows?.length === 0 && (filtered ? html`<${NothingFound} />` : html`<${NothingYet} />`)}
    ${list.rows?.length > 0 && html`<${Table} rows=${list.rows} />`}
    ${list.more && html`<div class="more"><${Button} busy=${list.loadingMore} onClick=${list.loadMore}>Load older<//></div>`}
    ${list.rows?.length > 0 && !list.more && html`<p class="small muted below-table">${list.rows.length === 1 ? "That is the only entry" : `That is all, ${number(list.rows.length)} entries`}. They are kept as long as <code>keep_days</code> under <code>[audit]</code> says.</p>`}
    ${shown && html`<${Detail} key=${shown} id=${shown} known=${list.rows?.find((/** @type {any} */ row) => row.id === shown)} onClose=${() => search({ entry: null })} />`}
    ${exporting && html`<${Export} filter=${filter} onClose=${() => setExporting(false)} />`}`;
}

/**
 * A text that the address carries, under `name`.
 * @param {{name: string, label: string, placeholder: string, text: string, choices?: string[]}} properties
 */
function Filter({ name, label, placeholder, text, choices }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed.trim() === text) return undefined;
    const timer = setTimeout(() => search({ [name]: typed.trim() || null }), PAUSE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [typed]);
  const id = `audit-${name}`;
  const escape = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && setTyped("");
  return html`<div class="search audit-filter"><${Icon} name="search" /><label class="unseen" for=${id}>${label}</label>
    <input id=${id} type="search" value=${typed} placeholder=${placeholder} list=${choices ? `${id}-choices` : undefined} maxlength="200" autocomplete="off" spellcheck=${false}
      onKeyDown=${escape} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} />
    ${choices && html`<datalist id=${`${id}-choices`}>${choices.map((each) => html`<option key=${each} value=${each}>${actionText(each)}</option>`)}</datalist>`}</div>`;
}

/** @param {{rows: any[]}} properties */
const Table = ({ rows }) => html`<div class="table"><table class="cards audit">
  <thead><tr><th scope="col">When</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Object</th><th scope="col"><span class="unseen">Details</span></th></tr></thead>
  <tbody>${rows.map((row) => html`<tr key=${row.id}>
    <td class="audit-when"><${Time} at=${row.at} relative /></td>
    <td class="audit-who"><button type="button" class="link cut" title=${`Only what ${row.who} did`} onClick=${() => search({ who: row.who })}>${row.who}</button></td>
    <td class="audit-what"><strong>${actionText(row.action)}</strong> <code class="small muted">${row.action}</code></td>
    <td class="full"><${Target} entry=${row} /></td>
    <td class="number audit-more"><${Button} kind="quiet" aria-label=${`Details of entry ${row.id}`} onClick=${() => search({ entry: row.id })}>Details<//></td></tr>`)}</tbody></table></div>`;

/** @param {{entry: any}} properties */
function Target({ entry }) {
  const link = linkOf(entry);
  return html`<span class="id">${link ? html`<a class="cut" href=${link}><code>${entry.target}</code></a>` : html`<code class="cut" title=${entry.target}>${entry.target || "–"}</code>`}
    ${entry.target && html`<${Button} kind="quiet" icon="search" label="Only what was done to this object" onClick=${() => search({ target: entry.target })} />`}</span>`;
}

/** @param {{id: string, known: any, onClose: () => void}} properties known: the entry, if it is in the list already */
function Detail({ id, known, onClose }) {
  // The next one behind the number before it, which a link may name long after the list has moved on.
  const asked = useLoad(async (signal) => known ?? (await call("/audit", { query: { after: Math.max(0, Number(id) - 1), limit: 1 }, signal })).data[0] ?? {}, [id]);
  const entry = known ?? (asked.data?.id === id ? asked.data : null);
  const gone = !entry && asked.data;
  return html`<${Dialog} title=${entry ? actionText(entry.action) : `Entry ${id}`} onClose=${onClose}><div class="stack entry">
    <${Failure} error=${asked.error} retry=${asked.refresh} />
    ${!entry && !gone && !asked.error && html`<${Skeleton} lines=${4} height=${40} />`}
    ${gone && html`<p>There is no entry with this number. It may be older than the log is kept, or belong to another resource.</p>`}
    ${entry && html`<${Facts} entry=${entry} /><${Json} value=${entry} label="The entry" />`}</div><//>`;
}

/** @param {{entry: any}} properties */
const Facts = ({ entry }) => html`<dl class="facts">
    <div><dt>When</dt><dd>${dateTime(entry.at)}<div class="small muted">${utc(entry.at)}</div></dd></div>
    <div><dt>Who</dt><dd>${entry.who}</dd></div>
    <div><dt>Number</dt><dd>${entry.id}</dd></div>
    <div class="whole"><dt>Object</dt><dd><${Target} entry=${entry} /></dd></div>
    <div class="whole"><dt>Request id</dt><dd>${entry.request_id ? html`<code class="break">${entry.request_id}</code>` : html`<span class="muted">None: it was done on the command line.</span>`}</dd></div>
  </dl>
  <p class="small muted">The log of the service has the request id, too. What was sent, and keys, are in neither.</p>`;

const NothingYet = () => html`<${Empty} title="Nothing has been changed yet" icon="audit" actions=${html`<${Button} href=${to("/")}>Go to the batch jobs<//>`}>
  Every call that changes something leaves an entry here: who did it, when, and to what. Entries cannot be changed or taken away.<//>`;

const NothingFound = () => html`<${Empty} title="No entry fits" icon="search" actions=${html`<${Button} href=${to("/audit")}>Show the whole log<//>`}>
  No entry has these texts together. Each field finds a part of a text, in upper or lower case.<//>`;
