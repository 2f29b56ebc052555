// @ts-check
/** One webhook: how it is doing, what was sent to it, and what can be done with it. */
import { call, part } from "../app/api.js";
import { Button, Empty, Failure, Heading, Id, Panel, Skeleton, Time } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { usePoll } from "../app/polling.js";
import { go, to } from "../app/router.js";
import { mayAct, session } from "../app/session.js";
import { toast } from "../app/toasts.js";
import { html, useEffect, useState } from "../app/ui.js";
import { Deliveries } from "./webhook_deliveries.js";
import { EndpointForm } from "./webhook_form.js";
import { ReceiverCode, Rotate } from "./webhook_secret.js";
import { TestCall } from "./webhook_test.js";
import { EndpointState, Events, LOOKS_ONLY, saidGone } from "./webhook_words.js";

const OFF = "Webhooks are turned off on this service; the operator sets enabled = true under [webhooks].";

/** @param {{id: string}} properties */
export function Page({ id }) {
  const known = usePoll((signal) => call(`/webhook_endpoints/${part(id)}`, { signal }), [id]);
  const [asked, setAsked] = useState(/** @type {"test"|"edit"|"rotate"|"code"|"off"|"delete"|null} */ (null));
  const endpoint = known.data;
  useEffect(() => {
    if (endpoint) document.title = `${endpoint.name} · Webhooks · Slackwater Studio`;
  }, [endpoint?.name]);
  const back = { href: to("/webhooks"), text: "Webhooks" };
  if (known.error?.status === 404) {
    return html`<${Heading} title="Webhook" back=${back} /><${Empty} title="This webhook is not here" icon="search" actions=${html`<${Button} kind="main" href=${to("/webhooks")}>Show all webhooks<//>`}>
      It may have been deleted, the address may be mistyped, or it belongs to another resource.<//>`;
  }
  if (!endpoint) {
    return html`<${Heading} title="Webhook" back=${back} /><${Failure} error=${known.error?.passing ? null : known.error} retry=${known.refresh} />
      ${!known.error && html`<${Skeleton} lines=${2} height=${160} />`}`;
  }
  const close = () => setAsked(null);
  const done = () => (close(), known.refresh());
  return html`
    <${Heading} title=${endpoint.name} back=${back} actions=${html`<${Actions} endpoint=${endpoint} ask=${setAsked} refresh=${known.refresh} />`}><${EndpointState} endpoint=${endpoint} /><//>
    <div class="sub"><${Id} id=${endpoint.id} what="this webhook" /></div>
    <div class="stack">
      <div class="hook-top"><${State} endpoint=${endpoint} refresh=${known.refresh} /><${Facts} endpoint=${endpoint} ask=${setAsked} /></div>
      <${Deliveries} endpoint=${endpoint} />
    </div>
    ${asked === "test" && html`<${TestCall} endpoint=${endpoint} onClose=${close} />`}
    ${asked === "edit" && html`<${EndpointForm} endpoint=${endpoint} onClose=${close} onDone=${() => (toast("Saved."), done())} />`}
    ${asked === "rotate" && html`<${Rotate} endpoint=${endpoint} onClose=${close} onDone=${known.refresh} />`}
    ${asked === "code" && html`<${ReceiverCode} endpoint=${endpoint} onClose=${close} />`}
    ${asked === "off" && html`<${TurnOff} endpoint=${endpoint} onClose=${close} onDone=${known.refresh} />`}
    ${asked === "delete" && html`<${Delete} endpoint=${endpoint} onClose=${close} />`}`;
}

/** @param {{endpoint: any, ask: (what: any) => void, refresh: () => void}} properties */
function Actions({ endpoint, ask, refresh }) {
  const off = session.value?.webhooks === false;
  const locked = { disabled: off || !mayAct.value, why: off ? OFF : LOOKS_ONLY };
  return html`
    <${Button} kind="main" icon="run" ...${locked} onClick=${() => ask("test")}>Send a test<//>
    <${Button} ...${locked} onClick=${() => ask("edit")}>Change<//>
    <${Button} icon="keys" ...${locked} onClick=${() => ask("rotate")}>Rotate secret<//>
    ${endpoint.status === "disabled"
      ? html`<${TurnOn} endpoint=${endpoint} locked=${locked} refresh=${refresh} />`
      : html`<${Button} icon="stop" ...${locked} onClick=${() => ask("off")}>Turn off<//>`}
    <${Button} kind="bad" disabled=${!mayAct.value} why=${LOOKS_ONLY} onClick=${() => ask("delete")}>Delete<//>`;
}

/** Any change turns an endpoint on, and has what waits for it tried at once; also one that changes nothing.
 * @param {{endpoint: any, locked?: any, refresh: () => void, text?: string, said?: string}} properties */
function TurnOn({ endpoint, locked = {}, refresh, text = "Turn on", said = "It is on again." }) {
  const [busy, setBusy] = useState(false);
  const act = async () => {
    setBusy(true);
    try {
      await call(`/webhook_endpoints/${part(endpoint.id)}`, { method: "POST", body: { enabled: true } });
      toast(said);
      refresh();
    } catch (/** @type {any} */ problem) {
      toast(problem.message, "bad");
    }
    setBusy(false);
  };
  return html`<${Button} icon="run" busy=${busy} ...${locked} onClick=${act}>${text}<//>`;
}

/** How it is doing, and what there is to do about it. It has the same height in every state, so that nothing jumps.
 * @param {{endpoint: any, refresh: () => void}} properties */
function State({ endpoint, refresh }) {
  const { last_success_at: success, last_failure_at: failure } = endpoint;
  return html`<${Panel} title="State" class="hook-state"><div class="stack tight">${words(endpoint, refresh)}</div>
    <dl class="facts"><div><dt>Last success</dt><dd><${Time} at=${success} relative /></dd></div><div><dt>Last failure</dt><dd><${Time} at=${failure} relative /></dd></div></dl><//>`;
}

/** @param {any} endpoint @param {() => void} refresh */
function words(endpoint, refresh) {
  if (session.value?.webhooks === false) return html`<p><strong>Nothing is sent.</strong> ${OFF} What waits is kept until then.</p>`;
  if (endpoint.status === "failing") {
    const locked = { disabled: !mayAct.value, why: LOOKS_ONLY };
    return html`<p><strong class="failed-count">The last call failed.</strong> ${endpoint.last_failure} ${endpoint.last_success_at ? "" : "No call has succeeded yet."}</p>
      <p class="muted">Calls are repeated with longer and longer pauses, for 72 hours each. When the receiver works again, send them at once:</p>
      <div><${TurnOn} endpoint=${endpoint} locked=${locked} refresh=${refresh} text="Try now" said="What waits is being sent." /></div>`;
  }
  if (saidGone(endpoint)) {
    return html`<p><strong>The receiver answered 410, which says that it wants nothing any more.</strong></p>
      <p class="muted">Nothing is sent, and what waited was given up. If that was a mistake, correct the receiver and turn the webhook on again. Jobs that end until then are not announced later.</p>`;
  }
  if (endpoint.status === "disabled") return html`<p><strong>Turned off: nothing is sent.</strong></p><p class="muted">Jobs that end while it is off are not announced to it, also not later.</p>`;
  if (!endpoint.last_success_at) return html`<p><strong>Ready.</strong> Nothing has been sent yet.</p><p class="muted">Send a test to see whether the receiver takes what it is sent.</p>`;
  return html`<p><strong>The last call was taken.</strong></p><p class="muted">A call that fails is repeated until it is taken, for 72 hours.</p>`;
}

/** @param {{endpoint: any, ask: (what: any) => void}} properties */
const Facts = ({ endpoint, ask }) => html`<${Panel} title="Settings" actions=${html`<${Button} icon="code" onClick=${() => ask("code")}>How to verify calls<//>`}><dl class="facts">
  <div class="whole"><dt>URL</dt><dd>${endpoint.url}</dd></div>
  <div><dt>Told when a job is</dt><dd><${Events} types=${endpoint.event_types} /></dd></div>
  <div><dt>Secret</dt><dd><code>${endpoint.signing_secret_hint}</code></dd></div>
  <div><dt>Added</dt><dd><${Time} at=${endpoint.created_at} relative /></dd></div>
  <div><dt>Changed</dt><dd><${Time} at=${endpoint.updated_at} relative /></dd></div></dl><//>`;

/** @param {{endpoint: any, onClose: () => void, onDone: () => void}} properties */
function TurnOff({ endpoint, onClose, onDone }) {
  const act = async () => {
    await call(`/webhook_endpoints/${part(endpoint.id)}`, { method: "POST", body: { enabled: false } });
    toast("It is off.");
    onDone();
  };
  return html`<${Confirm} title=${`Turn ${endpoint.name} off?`} confirm="Turn off" kind="main" act=${act} onClose=${onClose}>
    <p>Nothing is sent to it until it is turned on again. Jobs that end meanwhile are not announced to it, also not later. What waits now is kept, each event for 72 hours.</p><//>`;
}

/** @param {{endpoint: any, onClose: () => void}} properties */
function Delete({ endpoint, onClose }) {
  const act = async () => {
    await call(`/webhook_endpoints/${part(endpoint.id)}`, { method: "DELETE" });
    toast(`${endpoint.name} is deleted.`);
    go(to("/webhooks"));
  };
  return html`<${Confirm} title=${`Delete ${endpoint.name}?`} confirm="Delete" act=${act} onClose=${onClose}>
    <p>Nothing is sent to <span class="break">${endpoint.url}</span> any more, what waits for it is dropped, and its secret and the list of its deliveries go. This cannot be undone; to pause it, turn it off instead.</p><//>`;
}
