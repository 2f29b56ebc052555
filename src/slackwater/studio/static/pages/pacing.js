// @ts-check
/** How the engines of a deployment are paced now, in numbers and in words, and what became of them over the last day. */
import { clock, number } from "../app/formats.js";
import { Path } from "../app/parts/basics.js";
import { html } from "../app/ui.js";
import { Since } from "./health.js";
import { LastDay } from "./last_day.js";

/** What each state of an engine's metrics page means for what is sent. @type {Record<string, string>} */
const STATES = {
  off: "Not paced: as many requests as are configured, whoever else is there.",
  answers: "Paced by how long answers take: the engine has no metrics page, so nobody sees who else uses it.",
  absent: "Not paced: the engine has no metrics page, so nobody sees who else uses it.",
  looking: "Its metrics page is looked for when there is something to send; a few requests go until then.",
  lost: "Its metrics page cannot be read: half of what went before goes on, and no more.",
};

/** @param {{backends: any[], name: string, alone: boolean}} properties backends: as `deployment_status` has them; alone: whether it is the only one shown */
export function Pacing({ backends, name, alone }) {
  const looked = backends.some((each) => ["paced", "lost"].includes(each.pacing.state));
  // Where none is, it is said in a line: of vendors and of what is built in, there is nothing else to say.
  const unpaced = [...new Set(backends.map((each) => each.pacing.state))].filter((state) => ["off", "absent"].includes(state));
  const none = backends.every((each) => unpaced.includes(each.pacing.state));
  return html`<div class="stack tight pacing-of">
    ${none ? html`<p class="small muted">${unpaced.map((state) => STATES[state]).join(" ")}</p>` : html`<div class="table inner" role="region" tabindex="0" aria-label=${`Pacing of ${name}`}><table class="cards pacing">
      <thead><tr><th scope="col">Engine</th><th scope="col">Pace</th>
        <th scope="col" class="number" title="One step of the engine makes one token for everybody who is there">Step now</th><th scope="col" class="number" title="What a step would be without batches, computed from what steps cost">Without us</th>
        <th scope="col" class="number" title="Up to which step more is sent">Target</th><th scope="col" class="number" title="Requests of batches that may be out, and that are">Out / window</th>
        <th scope="col" class="number" title="Requests of others that run or wait there">Others</th><th scope="col" class="number" title="Requests that the engine has not begun with, of anybody">Waiting</th></tr></thead>
      <tbody>${backends.map((each, index) => html`<${Engine} key=${`${each.name} ${index}`} backend=${each} />`)}</tbody></table></div>`}
    <${LastDay} name=${name} looked=${looked} open=${looked || alone} /></div>`;
}

/** @param {{backend: any}} properties */
function Engine({ backend }) {
  const { pacing } = backend;
  const out = pacing.in_flight ?? backend.in_flight;
  return html`<tr>
    <td class="full"><code class="backend-name"><${Path} text=${backend.name} /></code><div class=${`small pacing-now ${pacing.frozen || pacing.state === "lost" ? "warn" : "muted"}`} title=${words(pacing)}><${Now} pacing=${pacing} /></div></td>
    <td data-label="Pace">${pacing.state === "absent" ? html`<span class="muted">none</span>` : pacing.pace}${commanded(pacing) && html`<div class="small muted">${commanded(pacing)}</div>`}</td>
    <td class="number" data-label="Step now">${milliseconds(pacing.step_ms)}</td><td class="number" data-label="Without us">${milliseconds(pacing.alone_ms)}</td>
    <td class="number" data-label="Target">${milliseconds(pacing.target_ms)}</td>
    <td class="number" data-label="Out / window">${number(out)} <span class="muted">/ ${number(pacing.window)}</span></td>
    <td class="number" data-label="Others">${number(pacing.others)}</td><td class="number" data-label="Waiting">${number(pacing.waiting)}</td></tr>`;
}

/** The same as `words`, with the moment as one. @param {{pacing: any}} properties */
function Now({ pacing }) {
  if (pacing.frozen) return html`<strong>Nothing new is sent</strong>${pacing.frozen_since !== null && html` since <${Since} at=${pacing.frozen_since} />`}: ${pacing.frozen}.`;
  return words(pacing);
}

/** That an operator has said the pace while the service ran, and what it hides; empty where the configuration says it. @param {any} pacing */
export const commanded = (pacing) => (pacing.pace_from !== "command" ? "" : pacing.pace === pacing.configured_pace ? "by command" : `by command; configured: ${pacing.configured_pace}`);

/** What is sent now and why, in a sentence. @param {any} pacing */
export function words(pacing) {
  if (pacing.state !== "paced") return STATES[pacing.state] ?? "";
  if (pacing.frozen) return `Nothing new is sent${pacing.frozen_since === null ? "" : ` since ${clock(pacing.frozen_since).slice(0, 5)}`}: ${pacing.frozen}.`;
  if (pacing.others === null) return "Nothing is to be sent, so nobody looks at the engine.";
  const felt = pacing.slower === null || pacing.slower_most === null ? "" : ` Over the last hour of others, their slow steps were ${pacing.slower} times those without us, of ${pacing.slower_most} allowed.`;
  if (pacing.target_ms === null) return pacing.others > 0 ? `Others are there, and this pace does not look at their steps.${felt}` : "Nobody else is there: it takes all that is free.";
  if (pacing.step_ms === null) return "Others are there; how long a step takes is not known yet.";
  return `${pacing.step_ms > pacing.target_ms ? "A step is longer than it may be: less is sent." : "There is room below the target: more is sent, up to the window."}${felt}`;
}

/** @param {number|null} value */
const milliseconds = (value) => (value === null ? html`<span class="muted">–</span>` : `${value.toFixed(1)} ms`);
