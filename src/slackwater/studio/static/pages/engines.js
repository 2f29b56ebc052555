// @ts-check
/** Engines: the upstreams that deployments share, for whoever runs the service. What is paused here is so for every resource. */
import { call, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { Button, Failure, Panel, Path, Skeleton } from "../app/parts/basics.js";
import { usePoll } from "../app/polling.js";
import { html, useState } from "../app/ui.js";
import { does, isQuiet, Pill, Since, Until } from "./health.js";
import { commanded } from "./pacing.js";
import { PauseDialog, Resume, TryNow } from "./pauses.js";

export function Engines() {
  const list = usePoll((signal) => call("/engines", { signal }), []);
  const [held, setHeld] = useState(/** @type {any} */ (null));
  const engines = list.data?.data;
  return html`<${Panel} title="Engines">
    <p class="muted">An engine is a scheme, a host and a port. Every deployment whose backends name it shares its slots; a pause here is for all of them.</p>
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!engines && !list.error && html`<${Skeleton} lines=${2} height=${60} />`}
    ${engines && html`<div class="table inner" role="region" tabindex="0" aria-label="Engines"><table class="cards engines">
      <thead><tr><th scope="col">Engine</th><th scope="col">State</th><th scope="col" class="number">In flight</th><th scope="col">Deployments</th><th scope="col"><span class="unseen">What can be done</span></th></tr></thead>
      <tbody>${engines.map((/** @type {any} */ engine) => html`<${Engine} key=${engine.id} engine=${engine} onPause=${() => setHeld(engine)} onDone=${list.refresh} />`)}</tbody></table></div>`}
    ${held && html`<${PauseDialog} path=${`/engines/${part(held.id)}`} title=${`Pause ${held.name}?`} name=${held.name} onClose=${() => setHeld(null)} onDone=${list.refresh}>
      <p>Every deployment that uses it, in every resource, sends it nothing new meanwhile.</p><//>`}<//>`;
}

/** @param {{engine: any, onPause: () => void, onDone: () => void}} properties */
function Engine({ engine, onPause, onDone }) {
  const path = `/engines/${part(engine.id)}`;
  // Whether it has answered lately is said of each backend, not here.
  const quiet = engine.state === "ok" && isQuiet(engine.quiet_since);
  const kind = quiet ? "quiet" : engine.state === "ok" ? "open" : engine.state;
  const reason = engine.pause?.reason ?? engine.reason;
  return html`<tr>
    <td class="full"><code class="backend-name"><${Path} text=${engine.name} /></code><div class="small cut backend-now">${quiet && html`<strong>No answer</strong> since <${Since} at=${engine.quiet_since} />`}${engine.state !== "ok" && html`<strong>It ${does(engine.state, engine.reason)}</strong><${Until} each=${engine} wanted=${engine.deployments.length > 0} />`}</div>
      ${engine.pacing && html`<div class="small muted engine-pace">Pace ${engine.pacing.pace}${engine.pacing.state === "absent" && " (not paced: no metrics page)"}${commanded(engine.pacing) && `, ${commanded(engine.pacing)}`}</div>`}
      <div class=${`small last-error ${engine.state === "ok" ? "muted" : ""}`} title=${reason ?? ""}>${engine.pause?.who ? `By ${engine.pause.who}${reason ? `: ${reason}` : ""}` : reason}</div></td>
    <td class="full"><${Pill} kind=${kind} /></td>
    <td class="number" data-label="In flight">${number(engine.in_flight)} <span class="muted">/ ${number(engine.slots)}</span></td>
    <td class="full" data-label="Deployments">${engine.deployments.join(", ")}</td>
    <td class="full"><div class="row engine-verbs">${engine.state === "paused"
      ? html`<${Resume} path=${path} name=${engine.name} onDone=${onDone} />`
      : html`${engine.state !== "ok" && html`<${TryNow} path=${path} name=${engine.name} onDone=${onDone} />`}<${Button} icon="clock" label=${`Pause ${engine.name}`} onClick=${onPause}>Pause<//>`}</div></td></tr>`;
}
