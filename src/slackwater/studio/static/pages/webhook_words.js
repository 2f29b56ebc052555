// @ts-check
/** What the states of endpoints and deliveries are called, and what can be heard of. */
import { Time } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { html } from "../app/ui.js";

export const LOOKS_ONLY = "Your role may look, but not change webhooks. Ask for a key with the role user.";

/** @type {{type: string, text: string, means: string}[]} */
export const EVENTS = [
  { type: "batch.completed", text: "Completed", means: "All requests have been tried; the results are ready." },
  { type: "batch.failed", text: "Failed", means: "The input file was refused." },
  { type: "batch.expired", text: "Expired", means: "The completion window ended first." },
  { type: "batch.cancelled", text: "Cancelled", means: "Somebody stopped it." },
];

/** @param {string} type */
export const eventText = (type) => EVENTS.find((each) => each.type === type)?.text ?? type;

/** The last word of the endpoint: whether the newest try succeeded, and when it was. @param {any} endpoint */
export function lastTry(endpoint) {
  const { last_success_at: good, last_failure_at: bad } = endpoint;
  if (good === null && bad === null) return null;
  return bad !== null && bad >= (good ?? 0) && endpoint.status !== "active" ? { good: false, at: bad } : { good: (good ?? 0) >= (bad ?? 0), at: Math.max(good ?? 0, bad ?? 0) };
}

/** Whether the endpoint turned itself off, by answering 410. @param {any} endpoint */
export const saidGone = (endpoint) => endpoint.status === "disabled" && /status 410\b/.test(endpoint.last_failure ?? "") && (endpoint.last_failure_at ?? 0) >= (endpoint.last_success_at ?? 0);

/** @param {{endpoint: any}} properties */
export function EndpointState({ endpoint }) {
  const [tone, icon, text] = {
    active: ["good", "check", "Active"],
    failing: ["bad", "warning", "Failing"],
    disabled: ["warn", "stop", saidGone(endpoint) ? "Off: it said 410" : "Turned off"],
  }[/** @type {"active"|"failing"|"disabled"} */ (endpoint.status)];
  return html`<span class=${`pill ${tone}`}><${Icon} name=${icon} />${text}</span>`;
}

/** @param {{delivery: any}} properties */
export function DeliveryState({ delivery }) {
  const [tone, icon, text] = {
    delivered: ["good", "check", "Delivered"],
    pending: delivery.tries ? ["warn", "clock", "Will be tried again"] : ["busy", "clock", "Waiting"],
    dead: ["bad", "cross", "Given up"],
  }[/** @type {"delivered"|"pending"|"dead"} */ (delivery.state)];
  return html`<span class=${`pill ${tone}`}><${Icon} name=${icon} />${text}</span>`;
}

/** @param {{types: string[]}} properties */
export function Events({ types }) {
  if (types.length === EVENTS.length) return html`<span>Every end</span>`;
  return html`<span>${EVENTS.filter((each) => types.includes(each.type)).map((each) => each.text).join(", ")}</span>`;
}

/** A reason with its number in front, where a narrow column would cut it off. @param {string} failure */
const brief = (failure) => failure.replace(/^The endpoint answered with status (\d+)\.$/, "It answered $1.");

/** How the newest try went. @param {{endpoint: any}} properties */
export function LastTry({ endpoint }) {
  const last = lastTry(endpoint);
  if (!last) return html`<span class="muted">Nothing sent yet</span>`;
  return html`<div>${last.good ? "Delivered" : html`<span class="failed-count">Failed</span>`} <${Time} at=${last.at} relative /></div>
    ${!last.good && html`<div class="small muted cut" title=${endpoint.last_failure}>${brief(endpoint.last_failure)}</div>`}`;
}
