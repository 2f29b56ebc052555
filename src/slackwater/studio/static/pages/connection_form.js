// @ts-check
/** Adds an engine, or changes one: its URL, its key, a test of both, and then a deployment of it. The key is sent once and never comes back. */
import { call, part } from "../app/api.js";
import { Button, Failure, Field, Notice } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { DeploymentOf } from "./connection_deployment.js";
import { Checks } from "./connection_checks.js";

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$/;

/** @typedef {{name: string, url: string, how: "same"|"none"|"stored"|"environment", key: string, env: string}} Form */

/** A name for an engine at a URL: its host and port. @param {string} url */
function nameOf(url) {
  try {
    return new URL(url).host.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "").slice(0, 64);
  } catch {
    return "";
  }
}

/** @param {{begun: {url?: string}, allowed: any, onClose: () => void, onDone: () => void}} properties begun: what is known already */
export function AddEngine({ begun, allowed, onClose, onDone }) {
  const [added, setAdded] = useState(/** @type {any} */ (null));
  if (added) return html`<${DeploymentOf} connection=${added.name} models=${added.models} added onClose=${onClose} onDone=${onDone} />`;
  const save = async (/** @type {Form} */ form, /** @type {any} */ look) => {
    const name = form.name.trim() || nameOf(form.url);
    await call(`/connections/${part(name)}`, { method: "PUT", body: bodyOf(form), headers: { "If-None-Match": "*" } });
    onDone();
    setAdded({ name, models: look?.models ?? null });
  };
  return html`<${EngineForm} title="Add an engine" path="/connections/test" verb="Add" made=${null} allowed=${allowed} save=${save} onClose=${onClose}
    first=${{ name: "", url: begun.url ?? "", how: "none", key: "", env: allowed.key_envs[0] ?? "" }} />`;
}

/** @param {{made: any, allowed: any, onClose: () => void, onDone: () => void}} properties */
export function EditEngine({ made, allowed, onClose, onDone }) {
  const save = async (/** @type {Form} */ form) => {
    await call(`/connections/${part(made.name)}`, { method: "PATCH", body: bodyOf(form), headers: { "If-Match": made.etag } });
    toast(`${made.name} is changed. What uses it sends there from now on.`);
    onDone();
    onClose();
  };
  return html`<${EngineForm} title=${`Edit ${made.name}`} path=${`/connections/${part(made.name)}/test`} verb="Save" made=${made} allowed=${allowed} save=${save} onClose=${onClose}
    first=${{ name: made.name, url: made.url, how: "same", key: "", env: made.api_key_env ?? allowed.key_envs[0] ?? "" }} />`;
}

/** What is sent; what stays as it is is not. @param {Form} form */
function bodyOf({ url, how, key, env }) {
  const given = { same: {}, none: { api_key: "" }, stored: { api_key: key.trim() }, environment: { api_key_env: env } }[how];
  return { url: url.trim(), ...given };
}

/** @param {{title: string, path: string, verb: string, made: any, allowed: any, first: Form, save: (form: Form, look: any) => Promise<void>, onClose: () => void}} properties */
function EngineForm({ title, path, verb, made, allowed, first, save, onClose }) {
  const [form, setForm] = useState(first);
  const [fault, setFault] = useState(/** @type {{name?: string, url?: string, key?: string}} */ ({}));
  const [look, setLook] = useState(/** @type {any} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const [busy, setBusy] = useState("");
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => {
    setForm({ ...form, [name]: event.target.value });
    // What was found is about what was asked.
    if (name !== "name") setLook(null);
  };
  const run = async (/** @type {string} */ what, /** @type {() => Promise<any>} */ act) => {
    const found = faultsOf(form, made);
    setFault(found);
    setError(null);
    if (Object.keys(found).length) return document.getElementById(`engine-${Object.keys(found)[0]}`)?.focus();
    setBusy(what);
    try {
      await act();
    } catch (problem) {
      setError(problem);
    }
    setBusy("");
  };
  const test = () => run("test", async () => setLook(await call(path, { method: "POST", body: bodyOf(form) })));
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    run("save", () => save(form, look));
  };
  const actions = html`<${Button} icon="check" busy=${busy === "test"} disabled=${busy === "save"} onClick=${test}>Test it<//><span class="push"></span>
    <${Button} onClick=${onClose}>Not now<//><${Button} kind="main" type="submit" form="engine-form" busy=${busy === "save"} disabled=${busy === "test"}>${verb}<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose} actions=${actions}>
    <form id="engine-form" class="stack" novalidate onSubmit=${submit}>
      <${Field} label="URL" id="engine-url" fault=${fault.url} hint=${where(allowed)}>
        <input id="engine-url" value=${form.url} autocomplete="off" spellcheck=${false} placeholder="http://127.0.0.1:8000/v1" aria-invalid=${Boolean(fault.url)} aria-describedby="engine-url-hint" onInput=${set("url")} /><//>
      <${KeyChoice} form=${form} made=${made} allowed=${allowed} fault=${fault.key} set=${set} />
      ${!made && html`<${Field} label="Name" id="engine-name" fault=${fault.name} hint="What it is called here. Users do not see it.">
        <input id="engine-name" value=${form.name} autocomplete="off" spellcheck=${false} placeholder=${nameOf(form.url) || "my-engine"} aria-invalid=${Boolean(fault.name)} aria-describedby="engine-name-hint" onInput=${set("name")} /><//>`}
      <${Checks} look=${look} busy=${busy === "test"} />
      ${error?.status === 412 && !made
        ? html`<${Notice} kind="bad"><p role="alert"><strong>There is an engine of this name already.</strong> Choose another name.</p><//>`
        : error?.status === 412
          ? html`<${Notice} kind="bad"><p role="alert"><strong>Changed by somebody else.</strong> Close this, look at it as it is now, and make your change again.</p><//>`
          : html`<${Failure} error=${error} />`}
    </form><//>`;
}

/** @param {any} allowed */
const where = (allowed) =>
  allowed.hosts
    ? `The operator allows these hosts: ${allowed.hosts.join(", ") || "none"}.`
    : "Up to where /chat/completions follows. As the service sees it, not as this browser does.";

/** @param {{form: Form, made: any, allowed: any, fault?: string, set: (name: string) => (event: any) => void}} properties */
function KeyChoice({ form, made, allowed, fault, set }) {
  const choices = [
    ...(made ? [["same", { none: "None, as it is", stored: "The stored one, as it is", environment: "As it is" }[/** @type {"none"} */ (made.key)]]] : []),
    ...(made?.key === "none" ? [] : [["none", "None"]]),
    ...(allowed.cannot_store ? [] : [["stored", made?.key === "stored" ? "A new one, stored here" : "Stored here"]]),
    ...(allowed.key_envs.length ? [["environment", "In an environment variable of the service"]] : []),
  ];
  const hint = allowed.cannot_store
    ? html`${allowed.cannot_store}.`
    : form.how === "stored"
      ? "It is sealed under a key of the operator’s, and never shown again. Back-ups do not have it."
      : "Stored keys are sealed under a key of the operator’s.";
  return html`<${Field} label="Key" id="engine-how" hint=${hint}><select id="engine-how" value=${form.how} aria-describedby="engine-how-hint" onChange=${set("how")}>
      ${choices.map(([value, text]) => html`<option key=${value} value=${value}>${text}</option>`)}</select><//>
    ${form.how === "stored" && html`<${Field} label="The key" id="engine-key" fault=${fault}><input id="engine-key" type="password" value=${form.key} autocomplete="new-password" spellcheck=${false} aria-invalid=${Boolean(fault)} onInput=${set("key")} /><//>`}
    ${form.how === "environment" && html`<${Field} label="Variable" id="engine-env"><select id="engine-env" value=${form.env} onChange=${set("env")}>
      ${allowed.key_envs.map((/** @type {string} */ name) => html`<option key=${name} value=${name}>${name}</option>`)}</select><//>`}`;
}

/** @param {Form} form @param {any} made */
function faultsOf(form, made) {
  /** @type {{name?: string, url?: string, key?: string}} */
  const faults = {};
  if (!/^https?:\/\/[^/\s]/.test(form.url.trim())) faults.url = "Write where it is, such as http://127.0.0.1:8000/v1.";
  if (form.how === "stored" && !form.key.trim()) faults.key = "Write the key.";
  if (!made && form.name.trim() && !NAME.test(form.name.trim())) faults.name = "1 to 64 letters, digits, dots, dashes and underscores; the first is a letter or digit.";
  return faults;
}
