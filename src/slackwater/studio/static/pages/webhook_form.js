// @ts-check
/** Adding a webhook, and changing one. What the service refuses is shown at the field that it is about. */
import { call, part } from "../app/api.js";
import { Button, Failure, Field, Notice } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { Icon } from "../app/parts/icons.js";
import { html, useState } from "../app/ui.js";
import { EVENTS } from "./webhook_words.js";

/**
 * @param {{endpoint?: any, onClose: () => void, onDone: (endpoint: any) => void}} properties endpoint: the one to change
 */
export function EndpointForm({ endpoint, onClose, onDone }) {
  const [name, setName] = useState(endpoint?.name ?? "");
  const [url, setUrl] = useState(endpoint?.url ?? "");
  const [types, setTypes] = useState(/** @type {string[]} */ (endpoint?.event_types ?? EVENTS.map((each) => each.type)));
  const [busy, setBusy] = useState(false);
  const [faults, setFaults] = useState(/** @type {Record<string, string>} */ ({}));
  const [error, setError] = useState(/** @type {any} */ (null));

  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const found = lookOver(name, url, types);
    setFaults(found);
    setError(null);
    const first = Object.keys(found)[0];
    if (first) return document.getElementById(`webhook-${first}`)?.focus();
    setBusy(true);
    try {
      // Any change turns an endpoint on, unless it says otherwise.
      const keepOff = endpoint?.status === "disabled" ? { enabled: false } : {};
      const body = { name: name.trim(), url: url.trim(), event_types: types, ...keepOff };
      onDone(await call(endpoint ? `/webhook_endpoints/${part(endpoint.id)}` : "/webhook_endpoints", { method: "POST", body }));
    } catch (/** @type {any} */ problem) {
      if (problem.param === "url" || problem.param === "name") {
        setFaults({ [problem.param]: problem.message });
        document.getElementById(`webhook-${problem.param}`)?.focus();
      } else {
        setError(problem);
      }
      setBusy(false);
    }
  };
  const toggle = (/** @type {string} */ type) => setTypes(types.includes(type) ? types.filter((/** @type {string} */ each) => each !== type) : [...types, type]);
  const typed = (/** @type {(text: string) => void} */ set) => (/** @type {any} */ event) => set(event.target.value);
  const moved = endpoint && url.trim() !== endpoint.url;
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Not now<//>
    <${Button} kind="main" type="submit" form="webhook-form" busy=${busy}>${endpoint ? "Save" : "Add webhook"}<//>`;
  return html`<${Dialog} title=${endpoint ? "Change the webhook" : "Add a webhook"} onClose=${onClose} actions=${actions}>
    <form id="webhook-form" class="stack" noValidate onSubmit=${submit}>
      <${Field} label="Name" id="webhook-name" hint="For people, such as the program that is told." fault=${faults.name}>
        <input id="webhook-name" value=${name} maxlength="256" autocomplete="off" aria-invalid=${Boolean(faults.name)} aria-describedby="webhook-name-hint" onInput=${typed(setName)} autofocus /><//>
      <${Field} label="URL" id="webhook-url" hint="Where events are posted to. It has to be reachable from the machine that Slackwater runs on." fault=${faults.url}>
        <input id="webhook-url" type="url" inputmode="url" value=${url} placeholder="https://example.com/batches" autocomplete="off" spellcheck=${false}
          aria-invalid=${Boolean(faults.url)} aria-describedby="webhook-url-hint" onInput=${typed(setUrl)} /><//>
      ${moved && html`<${Notice}><p>The secret stays as it is: the new place needs the same one. Rotate it if the old place should not be able to know calls any more.</p><//>`}
      <fieldset class="events" id="webhook-events" tabindex="-1"><legend>Call it when a job is</legend>
        ${EVENTS.map((each) => html`<label key=${each.type} class="check"><input type="checkbox" checked=${types.includes(each.type)} onChange=${() => toggle(each.type)} />
          <span><strong>${each.text}</strong> <code class="small muted">${each.type}</code><br /><span class="small muted">${each.means}</span></span></label>`)}
        ${faults.events && html`<div class="small fault" role="alert"><${Icon} name="warning" />${faults.events}</div>`}
      </fieldset>
      <${Failure} error=${error} />
    </form><//>`;
}

/** What can be seen to be missing before anything is sent. @param {string} name @param {string} url @param {string[]} types */
function lookOver(name, url, types) {
  /** @type {Record<string, string>} */
  const found = {};
  if (!name.trim()) found.name = "Give it a name.";
  if (!url.trim()) found.url = "Write the URL that is to be called.";
  else if (!URL.canParse(url.trim())) found.url = "This is no URL. It begins with https:// and has the name of a host.";
  if (!types.length) found.events = "Choose at least one.";
  return found;
}
