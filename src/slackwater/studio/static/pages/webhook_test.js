// @ts-check
/** Sends a sample to a webhook at once, and says how it went and what that means. */
import { call, part } from "../app/api.js";
import { Button, Failure, Field, Notice } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { html, useState } from "../app/ui.js";
import { EVENTS } from "./webhook_words.js";

/** @param {{endpoint: any, onClose: () => void}} properties */
export function TestCall({ endpoint, onClose }) {
  const [type, setType] = useState(endpoint.event_types[0]);
  const [busy, setBusy] = useState(false);
  const [status, setStatus] = useState(/** @type {number|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const send = async () => {
    setBusy(true);
    setStatus(null);
    setError(null);
    try {
      setStatus((await call(`/webhook_endpoints/${part(endpoint.id)}/test`, { method: "POST", body: { event_type: type } })).status_code);
    } catch (problem) {
      setError(problem);
    }
    setBusy(false);
  };
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Close<//>
    <${Button} kind="main" icon="run" busy=${busy} onClick=${send}>${status === null && !error ? "Send" : "Send again"}<//>`;
  return html`<${Dialog} title=${`Send a test to ${endpoint.name}`} onClose=${onClose} actions=${actions}><div class="stack">
    <p>A sample is sent once, now, and signed like every call. Its batch is called <code>batch_test</code>. It is not repeated, and does not change the state of the webhook.</p>
    <${Field} label="Event" id="test-event"><select id="test-event" value=${type} onChange=${(/** @type {any} */ event) => setType(event.target.value)}>
      ${EVENTS.map((each) => html`<option key=${each.type} value=${each.type}>${each.type}</option>`)}</select><//>
    <div class="test-result" role="status">${busy ? html`<p class="muted">Waiting for the answer, for ten seconds at most …</p>` : status !== null && html`<${Answer} status=${status} />`}</div>
    <${Failure} error=${error} title="There was no answer.">${error && html`<p>Is the receiver running, is the URL right, and can the machine that Slackwater runs on reach it?</p>`}<//>
  </div><//>`;
}

/** @param {{status: number}} properties */
function Answer({ status }) {
  if (status >= 200 && status < 300) return html`<${Notice} kind="good"><p><strong>It answered ${status}.</strong> That is how a receiver says that it has taken an event.</p><//>`;
  /** @type {Record<number, string>} */
  const means = {
    400: "A receiver that verifies answers this where the secret is not the right one. Compare its end with the one on the page.",
    401: "The receiver wants somebody to sign in. Calls of webhooks are known by their signature; let this path in without.",
    403: "The receiver, or a firewall before it, lets nobody in here.",
    404: "There is nothing at this path. Look at the URL.",
    405: "This path takes no POST. Look at the URL.",
    410: "That says that it wants nothing any more: a real call would turn this webhook off.",
  };
  const moved = status >= 300 && status < 400 ? "It points to another place, and calls do not follow. Write the other URL here." : null;
  return html`<${Notice} kind="warn"><strong>It answered ${status}.</strong>
    <p>${means[status] ?? moved ?? "The receiver could be reached, and failed. Its own log says why."} ${status === 410 ? "" : "A real call would be repeated."}</p><//>`;
}
