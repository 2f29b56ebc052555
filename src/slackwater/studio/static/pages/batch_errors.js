// @ts-check
/** What went wrong in a job: faults of the file, by line; or failed requests, by code, with examples and what to do. */
import { call, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { hintForRequest } from "../app/hints.js";
import { Button, Failure, Notice, Panel } from "../app/parts/basics.js";
import { neverRan, STATUSES } from "../app/parts/status.js";
import { useLoad } from "../app/polling.js";
import { search, to } from "../app/router.js";
import { mayAct } from "../app/session.js";
import { html, useState } from "../app/ui.js";
import { Faults } from "./create_check.js";

/** Why the file was refused. @param {{batch: any}} properties */
export function Refusal({ batch }) {
  const [report, setReport] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const errors = report && report.errors.length ? report.errors : (batch.errors?.data ?? []);
  const look = async () => {
    setBusy(true);
    setError(null);
    try {
      setReport(await call(`/files/${part(batch.input_file_id)}/validate`, { method: "POST", body: { endpoint: batch.endpoint } }));
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  const actions = html`${!report && batch.input_file_id && errors.some((/** @type {any} */ each) => each.line !== null) && html`<${Button} icon="search" busy=${busy} disabled=${!mayAct.value} why="Your role may only look." onClick=${look}>Show the lines<//>`}
    <${Button} kind="main" icon="plus" href=${to("/batches/new")}>Create with a corrected file<//>`;
  return html`<${Panel} title="Why the file was refused" actions=${actions}>
    <${Failure} error=${error} title="The lines cannot be shown." />
    ${report?.valid && html`<${Notice} kind="good"><p>The same file would be accepted now. “Try again” makes a new job of it.</p><//>`}
    <${Faults} errors=${errors} count=${report?.error_count ?? errors.length} /><//>`;
}

/** Failed requests; nothing where there are none. @param {{batch: any}} properties */
export function ErrorGroups({ batch }) {
  const failed = batch.request_counts.failed;
  const never = neverRan(batch.status, batch.request_counts) > 0;
  const wanted = failed > 0 || never;
  const groups = useLoad(async (signal) => (wanted ? call(`/batches/${part(batch.id)}/error_groups`, { signal }) : null), [batch.id, failed, batch.status]);
  if (!wanted) return null;
  if (batch.error_blob) return html`<${Panel} title="Errors" id="errors"><p>They are in your storage: <code>${batch.error_blob}</code></p><//>`;
  const data = groups.data?.data ?? [];
  const title = !never ? "Errors" : failed ? `Errors and ${batch.status} requests` : `${STATUSES[batch.status].text} requests`;
  return html`<${Panel} title=${title} id="errors">
    <${Failure} error=${groups.error} retry=${groups.refresh} />
    ${!data.length && !groups.error && html`<p class="muted">Looking at the errors…</p>`}
    <ul class="groups">${data.map((/** @type {any} */ group) => html`<li key=${`${group.code} ${group.status_code}`}><${Group} group=${group} /></li>`)}</ul><//>`;
}

/** @param {{group: any}} properties */
function Group({ group }) {
  const hint = hintForRequest(group);
  return html`<details><summary><strong class="number group-count">${number(group.count)}</strong>
      <code>${group.code ?? "error"}</code>${group.status_code !== null && html`<span class="pill bad">HTTP ${group.status_code}</span>`}
      <span class="cut muted group-message">${group.message}</span></summary>
    <div class="stack tight group-body"><p>${group.message}</p>${hint && html`<p class="muted">${hint}</p>`}
      <ul class="examples">${group.examples.map((/** @type {any} */ each) => html`<li key=${each.custom_id}><button type="button" class="link" onClick=${() => search({ line: each.custom_id })}><code>${each.custom_id}</code></button>
        <span class="muted cut">${each.message}</span></li>`)}</ul></div></details>`;
}
