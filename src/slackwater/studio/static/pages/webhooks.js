// @ts-check
/** Webhooks: the URLs that hear how jobs end, and how each is doing. */
import { call } from "../app/api.js";
import { moveFocus, useKeys } from "../app/keyboard.js";
import { Button, Empty, Failure, Heading, Notice, Skeleton, Time } from "../app/parts/basics.js";
import { usePoll } from "../app/polling.js";
import { place, search, to } from "../app/router.js";
import { mayAct, session } from "../app/session.js";
import { html, useState } from "../app/ui.js";
import { EndpointForm } from "./webhook_form.js";
import { SecretMade } from "./webhook_secret.js";
import { EndpointState, Events, LastTry, LOOKS_ONLY } from "./webhook_words.js";

export function Page() {
  // All that a resource may have.
  const list = usePoll((signal) => call("/webhook_endpoints", { query: { limit: 100 }, signal }), []);
  const [made, setMade] = useState(/** @type {any} */ (null));
  const rows = list.data?.data ?? null;
  const off = session.value?.webhooks === false;
  const adding = place.value.query.add === "yes" && !off && mayAct.value;
  const links = "a.job-link";
  useKeys({ ArrowDown: () => moveFocus(links, 1), ArrowUp: () => moveFocus(links, -1), j: () => moveFocus(links, 1), k: () => moveFocus(links, -1) });
  const add = html`<${Button} kind="main" icon="plus" disabled=${off || !mayAct.value} why=${off ? "Webhooks are turned off here." : LOOKS_ONLY}
    onClick=${() => search({ add: "yes" })}>Add webhook<//>`;
  const added = (/** @type {any} */ endpoint) => {
    search({ add: null });
    setMade(endpoint);
    list.refresh();
  };
  return html`
    <${Heading} title="Webhooks" actions=${add} />
    ${off && html`<${TurnedOff} some=${rows?.length > 0} />`}
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!rows && !list.error && html`<${Skeleton} lines=${4} height=${58} />`}
    ${rows?.length === 0 && !off && html`<${NothingYet} add=${add} />`}
    ${rows?.length > 0 && html`<${Table} rows=${rows} />`}
    ${adding && html`<${EndpointForm} onClose=${() => search({ add: null })} onDone=${added} />`}
    ${made && html`<${SecretMade} endpoint=${made} onClose=${() => setMade(null)} />`}`;
}

/** @param {{some: boolean}} properties */
const TurnedOff = ({ some }) => html`<div class="below"><${Notice} kind="warn"><strong>Webhooks are turned off on this service.</strong>
  <p>Nothing is sent, and no webhook can be added. ${some ? "What waits below is kept until they are turned on again. " : ""}The operator turns them on in the configuration, and restarts the service:</p>
  <pre class="json" tabindex="0" role="region" aria-label="The setting"><code>${"[webhooks]\nenabled = true"}</code></pre>
  <p>Until then, <a href=${to("/")}>look at the job</a>, or ask for its status with the API.</p><//></div>`;

/** @param {{add: any}} properties */
const NothingYet = ({ add }) => html`<${Empty} title="Nobody is told yet" icon="webhooks" actions=${add}>
  A webhook is a URL of yours that Slackwater calls when a batch job ends, so that your programs need not ask again and again.
  Calls are signed, and repeated until your side has taken them.<//>`;

/** @param {{rows: any[]}} properties */
const Table = ({ rows }) => html`<div class="table"><table class="cards webhooks">
  <thead><tr><th scope="col">Webhook</th><th scope="col">State</th><th scope="col">Told when a job is</th><th scope="col">Last call</th><th scope="col" class="number">Added</th></tr></thead>
  <tbody>${rows.map((row) => html`<tr key=${row.id}>
    <td class="full"><div class="job"><a class="job-link cut" href=${to(`/webhooks/${row.id}`)}>${row.name}</a><span class="small muted cut" title=${row.url}>${row.url}</span></div></td>
    <td class="full"><${EndpointState} endpoint=${row} /></td>
    <td data-label="Told when a job is"><${Events} types=${row.event_types} /></td>
    <td data-label="Last call"><${LastTry} endpoint=${row} /></td>
    <td class="number" data-label="Added"><${Time} at=${row.created_at} relative /></td></tr>`)}</tbody></table></div>`;
