// @ts-check
/** What was sent to a webhook, or is to be, newest first; kept for seven days after its end. */
import { call, part } from "../app/api.js";
import { Button, Failure, Panel, Skeleton, Time } from "../app/parts/basics.js";
import { now, usePoll } from "../app/polling.js";
import { duration, number } from "../app/formats.js";
import { to } from "../app/router.js";
import { html, useState } from "../app/ui.js";
import { DeliveryState, eventText } from "./webhook_words.js";

const PAGE = 20;
const MOST = 1000;

/** @param {{endpoint: any}} properties */
export function Deliveries({ endpoint }) {
  const [wanted, setWanted] = useState(PAGE);
  const list = usePoll((signal) => pages(endpoint.id, wanted, signal), [endpoint.id, wanted]);
  const rows = list.data?.rows ?? null;
  const more = Boolean(list.data?.more);
  return html`<${Panel} title="Deliveries" class="deliveries-panel">
    <${Failure} error=${list.error?.passing || list.error?.status === 404 ? null : list.error} retry=${list.refresh} />
    ${!rows && !list.error && html`<${Skeleton} lines=${3} height=${44} />`}
    ${rows?.length === 0 && html`<p class="muted">Nothing yet. The next job that ends is announced here; deliveries are kept for seven days. To try the receiver before that, send a test.</p>`}
    ${rows !== null && rows.length > 0 && html`<${Table} rows=${rows} />`}
    ${rows && more && rows.length < MOST && html`<div class="more"><${Button} busy=${list.loading} onClick=${() => setWanted(wanted + PAGE)}>Load more<//></div>`}
    ${rows && more && rows.length >= MOST && html`<p class="small muted below-table">These are the newest ${number(MOST)}. The API has the older ones.</p>`}<//>`;
}

/** As many as are wanted, over as many pages as that takes. @param {string} id @param {number} wanted @param {AbortSignal} signal */
async function pages(id, wanted, signal) {
  /** @type {any[]} */
  const rows = [];
  let more = true;
  while (more && rows.length < wanted) {
    const query = { limit: Math.min(100, wanted - rows.length), after: rows.at(-1)?.id };
    const page = await call(`/webhook_endpoints/${part(id)}/deliveries`, { query, signal });
    rows.push(...page.data);
    more = page.has_more;
  }
  return { rows, more };
}

/** @param {{rows: any[]}} properties */
const Table = ({ rows }) => html`<div class="table"><table class="cards deliveries">
  <thead><tr><th scope="col">Event</th><th scope="col">State</th><th scope="col">Answer</th><th scope="col" class="number">Tries</th><th scope="col">Next try</th><th scope="col" class="number">Job ended</th></tr></thead>
  <tbody>${rows.map((row) => html`<tr key=${row.id}>
    <td class="full"><div class="job"><span>${eventText(row.event_type)} · <a href=${to(`/batches/${row.batch_id}`)}>job</a></span><code class="small muted cut" title=${`webhook-id ${row.id}`}>${row.batch_id}</code></div></td>
    <td class="full"><${DeliveryState} delivery=${row} /></td>
    <td data-label="Answer">${answered(row)}</td>
    <td class="number" data-label="Tries">${number(row.tries)}</td>
    <td data-label="Next try">${row.next_try_at === null ? html`<span class="muted">–</span>` : html`<span class="nowrap">${row.next_try_at <= now.value ? "soon" : `in ${duration(row.next_try_at - now.value)}`}</span>`}</td>
    <td class="number" data-label="Job ended"><${Time} at=${row.created_at} relative /></td></tr>`)}</tbody></table></div>`;

/** @param {any} row */
function answered(row) {
  if (row.last_status_code !== null) return html`<span class=${row.state === "delivered" ? "" : "failed-count"}>${row.last_status_code}</span>`;
  if (row.last_failure) return html`<span class="small break failed-count">${row.last_failure}</span>`;
  return html`<span class="muted">–</span>`;
}
