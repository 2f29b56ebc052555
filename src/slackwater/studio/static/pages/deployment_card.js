// @ts-check
/** One deployment: what it is, its quota, its backends. */
import { part } from "../app/api.js";
import { duration, number, rate } from "../app/formats.js";
import { Button, Notice } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { to } from "../app/router.js";
import { html } from "../app/ui.js";
import { Quota } from "./deployment_quota.js";
import { isOfConfiguration, quotaOf, stateOf } from "./deployments_data.js";
import { Paused, Resume, TryNow } from "./pauses.js";

const STATES = {
  serving: { text: "Serving", icon: "check", tone: "good", means: "It takes batch jobs." },
  draining: { text: "Draining", icon: "clock", tone: "warn", means: "It is being deleted: it takes nothing new, and goes when its last job has ended." },
  failed: { text: "Not served", icon: "cross", tone: "bad", means: "It cannot be served; the reason is below." },
};
/** @type {Record<string, {text: string, icon: string, tone: string, means: string}>} */
const HEALTH = {
  ok: { text: "Healthy", icon: "check", tone: "good", means: "Its answers are good." },
  busy: { text: "Busy", icon: "clock", tone: "warn", means: "It asked to be left alone until a moment; then requests go on." },
  refusing: { text: "Refusing", icon: "cross", tone: "bad", means: "It lets nobody in: a wrong key, a model that is not there, another path. Requests wait, or go to the others." },
  blocked: { text: "Blocked", icon: "cross", tone: "bad", means: "The account behind its key may not go on: its quota or its money is used up. It is looked at again now and then." },
  paused: { text: "Paused", icon: "clock", tone: "warn", means: "An operator has paused it." },
  down: { text: "Down", icon: "cross", tone: "bad", means: "It does not answer; it is tried again and again, and requests go to the others." },
};

/** @param {{each: import("./deployments_data.js").Known, admin: boolean, onEdit: () => void, onDelete: () => void, onPause: () => void, onDone: () => void}} properties */
export function Card({ each, admin, onEdit, onDelete, onPause, onDone }) {
  const { name, status, made } = each;
  const state = stateOf(each);
  const model = status?.model ?? made.properties.model.name;
  const version = status?.version ?? made?.properties.model.version;
  const fault = made?.properties.slackwater.fault;
  return html`<section class="panel deployment" aria-label=${name}>
    <header class="row"><h2 class="cut" title=${name}>${name}</h2><${Pill} known=${STATES[state]} />
      <span class="muted breaks">${model}${version ? ` ${version}` : ""} · ${status?.sku ?? made.sku.name}</span>
      <div class="row push">${admin && status && html`<${Verbs} status=${status} onPause=${onPause} onDone=${onDone} />`}
        ${admin && html`<${Actions} each=${each} state=${state} onEdit=${onEdit} onDelete=${onDelete} />`}</div></header>
    ${status?.pause && html`<${Paused} pause=${status.pause} />`}
    ${fault && html`<${Notice} kind="bad"><p><strong>It cannot be served.</strong> ${fault}</p><p>Edit it so that it uses what the configuration has, or delete it. Its jobs wait until then.</p><//>`}
    ${state === "draining" && html`<${Notice} kind="warn"><p>It is being deleted: it takes nothing new, and goes by itself when its last job has ended.</p><//>`}
    <div class="deployment-top"><${Quota} quota=${quotaOf(each)} name=${name} />
      <dl class="facts"><div><dt>Regions</dt><dd>${status?.regions.length ? status.regions.join(", ") : html`<span class="muted">not said</span>`}</dd></div>
        <div><dt>Open jobs</dt><dd>${status?.open_batches ? html`<a href=${to("/", { deployment: name, status: "validating,in_progress,finalizing,cancelling" })}>${number(status.open_batches)}</a>` : "0"}</dd></div>
        <div><dt>Content filter</dt><dd>${status?.content_filter ?? html`<span class="muted">none</span>`}</dd></div></dl></div>
    ${status?.backends.length ? html`<${Backends} backends=${status.backends} name=${name} />` : state !== "failed" && html`<p class="muted">No backends: nothing answers for it.</p>`}
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

/** What operators say of it: from here for those of the configuration, too. @param {{status: any, onPause: () => void, onDone: () => void}} properties */
function Verbs({ status, onPause, onDone }) {
  const path = `/deployments/${part(status.name)}`;
  if (status.pause) return html`<${Resume} path=${path} name=${status.name} onDone=${onDone} />`;
  const waits = status.backends.some((/** @type {any} */ each) => !["ok", "paused"].includes(each.health));
  return html`${waits && html`<${TryNow} path=${path} name=${status.name} onDone=${onDone} />`}
    <${Button} icon="clock" label=${`Pause ${status.name}`} onClick=${onPause}>Pause<//>`;
}

/** @param {{known: {text: string, icon: string, tone: string, means: string}}} properties */
const Pill = ({ known }) => html`<span class=${`pill ${known.tone}`} title=${known.means}><${Icon} name=${known.icon} />${known.text}</span>`;

/** @param {{backends: any[], name: string}} properties */
function Backends({ backends, name }) {
  return html`<div class="table inner" role="region" tabindex="0" aria-label=${`Backends of ${name}`}><table class="cards backends">
    <thead><tr><th scope="col">Backend</th><th scope="col">Health</th><th scope="col">Region</th><th scope="col" class="number">In flight</th>
      <th scope="col" class="number">Latency</th><th scope="col" class="number">Requests/s</th><th scope="col" class="number">Tokens/s</th></tr></thead>
    <tbody>${backends.map((backend, index) => html`<${Backend} key=${`${backend.name} ${index}`} backend=${backend} />`)}</tbody></table></div>`;
}

/** @param {{backend: any}} properties */
function Backend({ backend }) {
  const share = backend.window ? Math.min(100, (100 * backend.in_flight) / backend.window) : 0;
  return html`<tr>
    <td class="full"><code class="backend-name">${backend.name}</code>${backend.reason && !backend.last_error && html`<div class="small">${backend.reason}</div>`}${backend.last_error && html`<div class="small last-error"><span class="muted">Last error:</span> ${backend.last_error}</div>`}</td>
    <td class="full"><${Pill} known=${HEALTH[backend.health] ?? { text: backend.health, icon: "info", tone: "plain", means: "" }} /></td>
    <td data-label="Region">${backend.region || html`<span class="muted">not said</span>`}${backend.data_zone && html` <span class="muted small">${backend.data_zone}</span>`}</td>
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
