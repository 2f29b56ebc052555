// @ts-check
/** How much of its enqueued tokens a deployment holds, what waits behind them, and where its limit is now. */
import { number, percent, short } from "../app/formats.js";
import { html } from "../app/ui.js";

/** @type {Record<string, string>} */
const WITHOUT_ROOM = { queue: " · a job without room waits", fail: " · a job without room is refused" };

/** @param {{quota: any, name: string}} properties */
export function Quota({ quota, name }) {
  const { held, waiting, waiting_batches: batches, limit, dynamic } = quota;
  const now = quota.limit_now ?? limit;
  const words = sentence(quota);
  if (limit === null) return html`<div class="quota"><div class="row quota-head"><strong>${number(held)}</strong> <span class="muted">enqueued tokens held, no limit</span></div></div>`;
  // With dynamic quota the deployment may hold more than its limit: the bar is as long as the largest of all figures.
  const whole = Math.max(limit, now, held + waiting, 1);
  const width = (/** @type {number} */ part) => ({ width: `${(100 * part) / whole}%` });
  const at = (/** @type {number} */ part) => ({ left: `${(100 * part) / whole}%` });
  const over = held + waiting > now;
  return html`<div class="quota">
    <div class="row quota-head"><strong title=${number(held)}>${short(held)}</strong><span class="muted">of ${short(now)} enqueued tokens held</span>
      ${now !== limit && html`<span class="pill busy" title=${`The limit is ${number(limit)}; its backends have been measured to finish more in time.`}>dynamic, limit ${short(limit)}</span>`}
      <span class="push muted">${percent(Math.min(held, now), now)}</span></div>
    <div class="quota-bar" role="meter" aria-label=${`Quota of ${name}`} aria-valuemin="0" aria-valuemax=${Math.max(now, 1)} aria-valuenow=${Math.min(held, now)} aria-valuetext=${words} title=${words}>
      <div class=${`quota-held ${held > now ? "full" : ""}`} style=${width(held)}></div><div class="quota-waiting" style=${width(waiting)}></div>
      ${(over || now !== limit) && html`<i class="quota-mark" style=${at(limit)}></i>`}${now !== limit && html`<i class="quota-mark now" style=${at(now)}></i>`}</div>
    <div class="small muted quota-foot">${waiting > 0
      ? html`<i class="key waiting"></i>${short(waiting)} tokens of ${number(batches)} ${batches === 1 ? "job" : "jobs"} wait for room`
      : "Nothing waits for room"}${dynamic ? " · dynamic quota" : ""}${WITHOUT_ROOM[quota.when_full] ?? ""}</div></div>`;
}

/** @param {any} quota */
function sentence({ held, waiting, limit, limit_now: now, dynamic }) {
  const more = dynamic && now !== null && now !== limit ? `, ${number(now)} now with dynamic quota` : "";
  return `${number(held)} tokens held, ${number(waiting)} waiting, of a limit of ${number(limit)}${more}`;
}
