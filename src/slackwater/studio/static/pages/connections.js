// @ts-check
/** Engines that were added here, without the configuration file: where each is, where its key is, and which deployments use it. */
import { call, part } from "../app/api.js";
import { Button, Failure, Notice, Panel, Skeleton, Time } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { usePoll } from "../app/polling.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { AddEngine, EditEngine } from "./connection_form.js";
import { DeploymentOf } from "./connection_deployment.js";

const KEYS = { none: "None", stored: "Stored here, sealed", environment: "In the environment" };

/** @param {{adding: any, onAdding: (what: any) => void, onDone: () => void}} properties adding: what the form of a new one begins with; null where it is shut */
export function Connections({ adding, onAdding, onDone }) {
  const list = usePoll((signal) => call("/connections", { signal }), [], { seconds: 5 });
  const [edited, setEdited] = useState(/** @type {any} */ (null));
  const [doomed, setDoomed] = useState(/** @type {any} */ (null));
  const [used, setUsed] = useState(/** @type {any} */ (null));
  const known = list.data?.data;
  const done = () => {
    list.refresh();
    onDone();
  };
  return html`<${Panel} title="Added engines">
    <p class="muted">An engine that is added here needs no configuration file and no restart. Every server and worker learns of it.</p>
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!known && !list.error && html`<${Skeleton} height=${60} />`}
    ${known?.length === 0 && html`<p class="small muted">None yet.</p>`}
    ${known?.length > 0 && html`<div class="table inner" role="region" tabindex="0" aria-label="Added engines"><table class="cards connections">
      <thead><tr><th scope="col">Engine</th><th scope="col">Key</th><th scope="col">Used by</th><th scope="col">Added</th><th scope="col"><span class="unseen">What can be done</span></th></tr></thead>
      <tbody>${known.map((/** @type {any} */ each) => html`<${Row} key=${each.name} each=${each} onEdit=${() => setEdited(each)} onRemove=${() => setDoomed(each)} onUse=${() => setUsed(each)} />`)}</tbody></table></div>`}
    ${adding && list.data && html`<${AddEngine} begun=${adding} allowed=${list.data} onClose=${() => onAdding(null)} onDone=${done} />`}
    ${edited && html`<${EditEngine} made=${edited} allowed=${list.data} onClose=${() => setEdited(null)} onDone=${done} />`}
    ${used && html`<${DeploymentOf} connection=${used.name} models=${null} onClose=${() => setUsed(null)} onDone=${done} />`}
    ${doomed && html`<${Remove} each=${doomed} onClose=${() => setDoomed(null)} onDone=${done} />`}<//>`;
}

/** @param {{each: any, onEdit: () => void, onRemove: () => void, onUse: () => void}} properties */
function Row({ each, onEdit, onRemove, onUse }) {
  return html`<tr>
    <td class="full"><strong>${each.name}</strong><div><code class="backend-name">${each.url}</code></div>
      ${each.fault && html`<div class="small fault"><span><strong>Nothing is sent there:</strong> ${each.fault}.</span></div>`}</td>
    <td data-label="Key">${KEYS[/** @type {keyof typeof KEYS} */ (each.key)]}${each.api_key_env && html` <code class="small">${each.api_key_env}</code>`}</td>
    <td data-label="Used by">${each.used_by.length ? each.used_by.join(", ") : html`<span class="muted">nothing</span>`}</td>
    <td data-label="Added"><${Time} at=${each.created_at} relative /><div class="small muted cut" title=${each.made_by}>by ${each.made_by}</div></td>
    <td class="full"><div class="row engine-verbs"><${Button} icon="plus" label=${`Create a deployment of ${each.name}`} onClick=${onUse}>Deploy<//>
      <${Button} label=${`Edit ${each.name}`} onClick=${onEdit}>Edit<//><${Button} icon="trash" label=${`Remove ${each.name}`} onClick=${onRemove}>Remove<//></div></td></tr>`;
}

/** @param {{each: any, onClose: () => void, onDone: () => void}} properties */
function Remove({ each, onClose, onDone }) {
  const act = async () => {
    await call(`/connections/${part(each.name)}`, { method: "DELETE", headers: { "If-Match": each.etag } });
    toast(`${each.name} is removed.`);
    onDone();
  };
  return html`<${Confirm} title=${`Remove ${each.name}?`} confirm="Remove the engine" act=${act} onClose=${onClose}>
    ${each.used_by.length > 0
      ? html`<${Notice} kind="warn"><p><strong>${each.used_by.join(", ")} ${each.used_by.length === 1 ? "uses" : "use"} it.</strong> It stays until ${each.used_by.length === 1 ? "that deployment is" : "those deployments are"} deleted.</p><//>`
      : html`<p>Its URL${each.key === "stored" ? " and its key go" : " goes"} from here. The engine itself is not touched.</p>`}<//>`;
}
