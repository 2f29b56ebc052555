// @ts-check
/** A choice among the errors of a job by their code, with how many there are of each. Its place is there before anything has failed. */
import { call, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { neverRan } from "../app/parts/status.js";
import { useLoad } from "../app/polling.js";
import { html } from "../app/ui.js";
import { ask, codeOf } from "./batch_lines_data.js";

/** @param {{batch: any, chosen: string}} properties */
export function Codes({ batch, chosen }) {
  const failed = batch.request_counts.failed;
  const some = failed > 0 || neverRan(batch.status, batch.request_counts) > 0;
  const groups = useLoad(async (signal) => (some ? call(`/batches/${part(batch.id)}/error_groups`, { signal }) : null), [batch.id, failed, batch.status]).data?.data ?? [];
  const known = groups.some((/** @type {any} */ each) => codeOf(each) === chosen);
  return html`<div class="line-codes"><label class="unseen" for="line-code">Error</label>
    <select id="line-code" value=${chosen} disabled=${!some && !chosen} title=${some ? "" : "Nothing has failed."} onChange=${(/** @type {any} */ event) => ask({ code: event.target.value || null, outcome: null })}>
      <option value="">Any error</option>
      ${groups.map((/** @type {any} */ each) => html`<option key=${codeOf(each)} value=${codeOf(each)}>${each.code}${each.status_code === null ? "" : ` (${each.status_code})`} · ${number(each.count)}</option>`)}
      ${chosen && !known && html`<option value=${chosen}>${chosen}</option>`}</select></div>`;
}
