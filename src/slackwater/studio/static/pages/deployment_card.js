// @ts-check
/** One deployment: what it is, its quota, its backends. */
import { part } from "../app/api.js";
import { duration, number, rate } from "../app/formats.js";
import { Button, Notice, Path } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { to } from "../app/router.js";
import { html } from "../app/ui.js";
import { Quota } from "./deployment_quota.js";
import { isOfConfiguration, kindOfAny, quotaOf, stateOf } from "./deployments_data.js";
import { does, isUnsent, kindOfBackend, Pill, requests, Sentence, Until } from "./health.js";
import { Pacing } from "./pacing.js";
import { Resume, TryNow } from "./pauses.js";

const WHY = "Only administrators of this resource may do this.";

/** @param {{each: import("./deployments_data.js").Known, alone: boolean, admin: boolean, onEdit: () => void, onDelete: () => void, onPause: () => void, onDone: () => void}} properties */
export function Card({ each, alone, admin, onEdit, onDelete, onPause, onDone }) {
  const { name, status, made } = each;
  const state = stateOf(each);
  const model = status?.model ?? made.properties.model.name;
  const version = status?.version ?? made?.properties.model.version;
  const fault = made?.properties.slackwater.fault;
  return html`<section class="panel deployment" aria-label=${name}>
    <header class="row"><h2 class="cut" title=${name}>${name}</h2><${Pill} kind=${kindOfAny(each)} />
      <span class="muted breaks">${model}${version ? ` ${version}` : ""} · ${status?.sku ?? made.sku.name}</span>
      <div class="row push">${status && html`<${Verbs} status=${status} admin=${admin} onPause=${onPause} onDone=${onDone} />`}
        ${admin && html`<${Actions} each=${each} state=${state} onEdit=${onEdit} onDelete=${onDelete} />`}</div></header>
    ${status && html`<div class="deployment-now small muted"><p class="cut"><${Sentence} status=${status} named=${status.name} />.</p>
      <p class="cut">${status.pause ? "It takes jobs, and sends nothing of them until somebody resumes it." : waits(status)}</p></div>`}
    ${fault && html`<${Notice} kind="bad"><p><strong>It cannot be served.</strong> ${fault}</p><p>Edit it so that it uses what the configuration has, or delete it. Its jobs wait until then.</p><//>`}
    ${state === "draining" && html`<${Notice} kind="warn"><p>It is being deleted: it takes nothing new, and goes by itself when its last job has ended.</p><//>`}
    <div class="deployment-top"><${Quota} quota=${quotaOf(each)} name=${name} />
      <dl class="facts"><div><dt>Regions</dt><dd>${status?.regions.length ? status.regions.join(", ") : html`<span class="muted">not set</span>`}</dd></div>
        <div><dt>Open jobs</dt><dd>${status?.open_batches ? html`<a href=${to("/", { deployment: name, status: "validating,in_progress,finalizing,cancelling" })}>${number(status.open_batches)}</a>` : "0"}</dd></div>
        <div><dt>Content filter</dt><dd>${status?.content_filter ?? html`<span class="muted">none</span>`}</dd></div></dl></div>
    ${status?.backends.length ? html`<${Backends} backends=${status.backends} name=${name} wanted=${status.open_batches > 0} />` : state !== "failed" && html`<p class="muted">No backends: nothing answers for it.</p>`}
    ${status?.backends.length > 0 && html`<${Pacing} backends=${status.backends} name=${name} alone=${alone} />`}
  </section>`;
}

/** @param {{each: import("./deployments_data.js").Known, state: string, onEdit: () => void, onDelete: () => void}} properties */
function Actions({ each, state, onEdit, onDelete }) {
  if (isOfConfiguration(each)) {
    return html`<span class="pill plain" title="It is in the service’s configuration file. Whoever runs the service changes it there; Studio and the API cannot."><${Icon} name="lock" />Configuration file</span>`;
  }
  if (state === "draining" || !each.made) return null;
  return html`<${Button} icon="edit" label=${`Edit ${each.name}`} onClick=${onEdit}>Edit<//><${Button} icon="trash" label=${`Delete ${each.name}`} onClick=${onDelete}>Delete<//>`;
}

/** What becomes of its jobs. @param {any} status */
function waits(status) {
  if (isUnsent(status)) return status.waiting_on.reason;
  if (!status.open_batches) return "No job is open.";
  const jobs = status.open_batches === 1 ? "1 job is" : `${number(status.open_batches)} jobs are`;
  return ["serving", "degraded"].includes(status.health) ? `${jobs} open.` : `${jobs} open, and nothing of them is lost meanwhile.`;
}

/** What operators say of it: from here for those of the configuration, too. @param {{status: any, admin: boolean, onPause: () => void, onDone: () => void}} properties */
function Verbs({ status, admin, onPause, onDone }) {
  const path = `/deployments/${part(status.name)}`;
  const may = { disabled: !admin, why: WHY };
  if (status.pause) return html`<${Resume} path=${path} name=${status.name} onDone=${onDone} ...${may} />`;
  const waits = status.backends.some((/** @type {any} */ each) => !["ok", "paused"].includes(each.health));
  return html`${waits && html`<${TryNow} path=${path} name=${status.name} onDone=${onDone} ...${may} />`}
    <${Button} icon="clock" label=${`Pause ${status.name}`} onClick=${onPause} ...${may}>Pause<//>`;
}

/** @param {{backends: any[], name: string, wanted: boolean}} properties wanted: whether jobs wait for it */
function Backends({ backends, name, wanted }) {
  return html`<div class="table inner" role="region" tabindex="0" aria-label=${`Backends of ${name}`}><table class="cards backends">
    <thead><tr><th scope="col">Backend</th><th scope="col">Health</th><th scope="col">Region</th><th scope="col" class="number">In flight</th>
      <th scope="col" class="number">Latency</th><th scope="col" class="number">Requests/s</th><th scope="col" class="number">Tokens/s</th></tr></thead>
    <tbody>${backends.map((backend, index) => html`<${Backend} key=${`${backend.name} ${index}`} backend=${backend} wanted=${wanted} />`)}</tbody></table></div>`;
}

/** What it does, since when, and when it is looked at again; the line is there when there is nothing to say, too. @param {{backend: any, wanted: boolean}} properties */
function Now({ backend, wanted }) {
  const kind = kindOfBackend(backend);
  if (kind === "quiet") return html`<strong>${requests(backend.in_flight)} out, and nothing comes back</strong><${Until} each=${{ since: backend.quiet_since, until: null }} wanted=${wanted} />`;
  if (backend.health === "ok") return "";
  return html`<strong>It ${does(backend.health, backend.reason)}</strong><${Until} each=${backend} wanted=${wanted} />`;
}

/** @param {{backend: any, wanted: boolean}} properties */
function Backend({ backend, wanted }) {
  const share = backend.window ? Math.min(100, (100 * backend.in_flight) / backend.window) : 0;
  return html`<tr>
    <td class="full"><code class="backend-name"><${Path} text=${backend.name} /></code><div class="small cut backend-now"><${Now} backend=${backend} wanted=${wanted} /></div>
      <div class=${`small last-error ${backend.health === "ok" && !backend.last_error ? "muted" : ""}`} title=${backend.last_error ?? backend.reason ?? ""}>${backend.last_error ? html`<span class="muted">Last error:</span> ${backend.last_error}` : backend.reason}</div></td>
    <td class="full"><${Pill} kind=${kindOfBackend(backend)} /></td>
    <td data-label="Region">${backend.region || html`<span class="muted">not set</span>`}${backend.data_zone && html` <span class="muted small">${backend.data_zone}</span>`}</td>
    <td class="number" data-label="In flight"><span title="Requests in flight, of those that may be at once now">${number(backend.in_flight)} <span class="muted">/ ${number(backend.window)}</span></span>
      <div class="bar thin" aria-hidden="true"><div class="bar-busy" style=${{ width: `${share}%` }}></div></div></td>
    <td class="number" data-label="Latency">${latency(backend.latency_seconds)}</td>
    <td class="number" data-label="Requests/s">${rate(backend.requests_per_second)}</td>
    <td class="number" data-label="Tokens/s">${rate(backend.tokens_per_second)}</td></tr>`;
}

/** @param {number|null} seconds */
function latency(seconds) {
  if (seconds === null) return html`<span class="muted">–</span>`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 10 ? `${seconds.toFixed(1)} s` : duration(seconds);
}
