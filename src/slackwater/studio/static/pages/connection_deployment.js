// @ts-check
/** A deployment of an engine that was added: which of its models, and the name that users write into their files. */
import { call, part } from "../app/api.js";
import { Button, Failure, Field, Notice } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { useLoad } from "../app/polling.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { Checks } from "./connection_checks.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** A name for a deployment of a model: the last part of it, in what a name may have. @param {string} model */
export const deploymentName = (model) => (model.split("/").pop() ?? "").replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 64);

/** @param {{connection: string, models: string[]|null, added?: boolean, onClose: () => void, onDone: () => void}} properties models: null where they are not known yet */
export function DeploymentOf({ connection, models, added = false, onClose, onDone }) {
  const looked = useLoad((signal) => (models ? Promise.resolve(null) : call(`/connections/${part(connection)}/test`, { method: "POST", body: {}, signal })), [connection]);
  const known = models ?? looked.data?.models ?? [];
  const [model, setModel] = useState(/** @type {string|null} */ (null));
  const [name, setName] = useState(/** @type {string|null} */ (null));
  const [fault, setFault] = useState(/** @type {{model?: string, name?: string}} */ ({}));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState(false);
  const wanted = model ?? known[0] ?? "";
  const called = name ?? deploymentName(wanted);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const found = {
      ...(!wanted.trim() && { model: "Choose a model, or write the name that the engine knows." }),
      ...(!NAME.test(called) && { name: "1 to 64 letters, digits, dots, dashes and underscores; the first is a letter or digit." }),
    };
    setFault(found);
    setError(null);
    if (Object.keys(found).length) return document.getElementById(`of-${Object.keys(found)[0]}`)?.focus();
    setBusy(true);
    try {
      const properties = { model: { format: "OpenAI", name: wanted.trim() }, backends: [{ connection, model: wanted.trim() }] };
      await call(`/deployments/${part(called)}`, { method: "PUT", body: { properties }, headers: { "If-None-Match": "*" } });
      toast(`${called} is made, and served.`);
      onDone();
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Not now<//><${Button} kind="main" type="submit" form="of-form" busy=${busy} disabled=${looked.loading && !models}>Create deployment<//>`;
  return html`<${Dialog} title=${added ? `${connection} is added` : `A deployment of ${connection}`} onClose=${onClose} actions=${actions}>
    <form id="of-form" class="stack" novalidate onSubmit=${submit}>
      ${added && html`<p>Make a deployment of it: a name that users write into “model” in their files.</p>`}
      ${!models && html`<${Checks} look=${looked.data} busy=${looked.loading} />`}
      <${Failure} error=${looked.error} title="It could not be asked for its models." />
      <${Field} label="Model" id="of-model" fault=${fault.model} hint=${known.length ? "One of those that the engine lists, or any other name that it knows." : "The name that the engine knows it by."}>
        <input id="of-model" list="of-models" value=${wanted} autocomplete="off" spellcheck=${false} aria-invalid=${Boolean(fault.model)} aria-describedby="of-model-hint" onInput=${(/** @type {any} */ event) => setModel(event.target.value)} />
        <datalist id="of-models">${known.map((/** @type {string} */ each) => html`<option key=${each} value=${each}></option>`)}</datalist><//>
      <${Field} label="Name of the deployment" id="of-name" fault=${fault.name} hint="What users write into “model”.">
        <input id="of-name" value=${called} autocomplete="off" spellcheck=${false} aria-invalid=${Boolean(fault.name)} aria-describedby="of-name-hint" onInput=${(/** @type {any} */ event) => setName(event.target.value)} /><//>
      ${error?.status === 412 ? html`<${Notice} kind="bad"><p role="alert"><strong>There is a deployment named ${called} already.</strong> Choose another name.</p><//>` : html`<${Failure} error=${error} />`}
    </form><//>`;
}
