// @ts-check
/** Makes a deployment, or changes one, in the words of Azure's control plane. What two people change at once is not lost: the second one is told. */
import { call, part } from "../app/api.js";
import { Button, Failure, Field, Notice } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { bodyOf, changesOf, faultsOf, formOf } from "./deployment_fields.js";

/** What becomes of a job that finds no room. @param {any} made @returns {string} */
const whenFullOf = (made) => made?.properties.slackwater?.whenFull ?? "";

/**
 * @param {{made: any, others: any[], onClose: () => void, onDone: () => void}} properties
 *   made: the deployment to change, null for a new one; others: those of the control plane
 */
export function DeploymentForm({ made, others, onClose, onDone }) {
  const [before, setBefore] = useState(made);
  const whenFull = whenFullOf(before);
  const [form, setForm] = useState(() => formOf(made, others, whenFull));
  const [faults, setFaults] = useState(/** @type {Record<string, string>} */ ({}));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => {
    const { type, checked, value } = event.target;
    setForm({ ...form, [name]: type === "checkbox" ? checked : value });
  };
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const found = faultsOf(form, before);
    setFaults(found);
    setError(null);
    if (Object.keys(found).length) return document.getElementById(`deployment-${Object.keys(found)[0]}`)?.focus();
    setBusy(true);
    try {
      const path = `/deployments/${part(form.name)}`;
      if (before) await call(path, { method: "PATCH", body: changesOf(form, before, whenFull), headers: { "If-Match": before.etag } });
      else await call(path, { method: "PUT", body: bodyOf(form), headers: { "If-None-Match": "*" } });
      toast(before ? `${form.name} is changed.` : `${form.name} is made, and served.`);
      onDone();
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const reload = async () => {
    try {
      const fresh = await call(`/deployments/${part(form.name)}`);
      setBefore(fresh);
      setForm(formOf(fresh, others, whenFullOf(fresh)));
      setError(null);
      onDone();
    } catch (problem) {
      setError(problem);
    }
  };
  const field = { form, faults, set };
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Not now<//><${Button} kind="main" type="submit" form="deployment-form" busy=${busy}>${before ? "Save" : "Create"}<//>`;
  return html`<${Dialog} title=${before ? `Edit ${before.name}` : "Create a deployment"} onClose=${onClose} actions=${actions}>
    <form id="deployment-form" class="stack" novalidate onSubmit=${submit}>
      ${before === null && html`<${Text} ...${field} name="name" label="Name" hint="What users write into “model” in their files." />`}
      <div class="two"><${Text} ...${field} name="model" label="Model" hint="Such as gpt-4o. It decides the price." /><${Text} ...${field} name="version" label="Version" hint="May be empty." /></div>
      <div class="two"><${Choice} ...${field} name="sku" label="SKU" hint="A data zone keeps requests in a part of the world." options=${[["GlobalBatch", "GlobalBatch"], ["DataZoneBatch", "DataZoneBatch"]]} />
        <${Text} ...${field} name="capacity" label="Capacity" numeric hint="Thousands of enqueued tokens. Empty: as its backends’ deployment has it." /></div>
      ${form.sku === "DataZoneBatch" && html`<${Text} ...${field} name="dataZone" label="Data zone" hint="Requests go to its backends of this zone alone, such as eu." />`}
      <div class="two">${connected(before) ? html`<${Connected} made=${before} />` : html`<${Choice} ...${field} name="backendsOf" label="Backends of" options=${[["", "the first with this model"], ...configured(others).map((each) => [each, each])]}
          hint="A deployment of the configuration file whose backends answer for this one." />`}
        <${Choice} ...${field} name="whenFull" label="A job without room" hint=${whenFull ? undefined : "Usual: as its backends’ deployment has it."}
          options=${[...(whenFull ? [] : [["", "does the usual"]]), ["queue", "waits for room"], ["fail", "is refused"]]} /></div>
      <${Text} ...${field} name="raiPolicyName" label="Content filter" hint="The name of a [[content_filters]] section. Empty: that of its backends’ deployment." />
      <label class="row check"><input type="checkbox" id="deployment-dynamic" checked=${form.dynamic} onChange=${set("dynamic")} /><span>Dynamic quota <span class="muted small">lets in more than the capacity while there is measured room</span></span></label>
      ${error?.status === 412 ? html`<${Conflict} made=${before} name=${form.name} onReload=${reload} />` : html`<${Failure} error=${error} title="Nothing was changed." />`}
    </form><//>`;
}

/** The added engines that answer for a deployment. @param {any} made @returns {string} */
const connected = (made) => (made?.properties.slackwater.backends ?? []).map((/** @type {any} */ each) => each.connection).filter(Boolean).join(", ");

/** @param {{made: any}} properties */
const Connected = ({ made }) => html`<div class="field"><span><strong>Added engine</strong></span><span>${connected(made)}</span><span class="small muted">Change where it leads under “Added engines”.</span></div>`;

/** @param {any[]} others */
const configured = (others) => others.filter((each) => each.properties.slackwater.source === "configuration").map((each) => each.name);

/** @param {{made: any, name: string, onReload: () => void}} properties */
function Conflict({ made, name, onReload }) {
  if (!made) return html`<${Notice} kind="bad"><p role="alert"><strong>There is a deployment named ${name} already.</strong> Choose another name, or close this and edit that one.</p><//>`;
  return html`<${Notice} kind="bad"><p role="alert"><strong>Changed by somebody else.</strong> ${name} is not as you have seen it, so your changes were not made. Reload it, look at what is
    different, and make your changes again.</p><div><${Button} icon="retry" onClick=${onReload}>Reload<//></div><//>`;
}

/** @param {any} properties */
function Text({ form, faults, set, name, label, hint, numeric = false }) {
  const id = `deployment-${name}`;
  return html`<${Field} label=${label} id=${id} hint=${hint} fault=${faults[name]}><input id=${id} value=${form[name]} autocomplete="off" spellcheck=${false}
    inputmode=${numeric ? "numeric" : undefined} aria-invalid=${Boolean(faults[name])} aria-describedby=${hint ? `${id}-hint` : undefined} onInput=${set(name)} /><//>`;
}

/** @param {any} properties */
function Choice({ form, faults, set, name, label, hint, options }) {
  const id = `deployment-${name}`;
  return html`<${Field} label=${label} id=${id} hint=${hint} fault=${faults[name]}><select id=${id} value=${form[name]} aria-describedby=${hint ? `${id}-hint` : undefined} onChange=${set(name)}>
    ${options.map((/** @type {string[]} */ [value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select><//>`;
}
