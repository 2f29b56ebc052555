// @ts-check
/** The same as the picture of an engine's day, as a table with a row for each hour. */
import { dateTime } from "../app/formats.js";
import { html } from "../app/ui.js";
import { amount, stateOf, WORDS } from "./engine_points.js";

const HOUR = 3600;

/** @param {{engine: string, points: any[], kind: any}} properties */
export function EngineTable({ engine, points, kind }) {
  return html`<details class="small"><summary>As a table</summary>
    <div class="table inner" role="region" tabindex="0" aria-label=${`What became of ${engine}, by the hour`}><table class="cards day">
    <thead><tr><th scope="col">Hour from</th><th scope="col" class="number">Step now</th><th scope="col" class="number">Without us</th><th scope="col" class="number">Target</th>
      <th scope="col" class="number">${kind.name}</th><th scope="col" class="number">Out</th><th scope="col" class="number">Window</th><th scope="col" class="number">Others</th><th scope="col" class="number">Nothing new sent</th><th scope="col">State</th></tr></thead>
    <tbody>${hours(points).map((hour) => html`<${Hour} key=${hour.at} hour=${hour} kind=${kind} />`)}</tbody></table></div>
    ${!points.length && html`<p class="muted">Nothing has been written down yet; the first minute is.</p>`}</details>`;
}

/** @param {{hour: {at: number, points: any[]}, kind: any}} properties */
function Hour({ hour, kind }) {
  const { points } = hour;
  const felt = (/** @type {string} */ name) => mean(points, (each) => each.pacing[name], (each) => each.pacing.shared_seconds);
  const read = (/** @type {string} */ name) => mean(points, (each) => each.pacing[name], (each) => each.pacing.seconds);
  const all = (/** @type {(each: any) => number|null} */ of) => mean(points, of, (each) => each.seconds);
  const worst = Object.keys(WORDS).reduce((so, state) => (points.some((each) => stateOf(each) === state) ? state : so), "fine");
  const frozen = points.reduce((sum, each) => sum + each.pacing.frozen_seconds, 0);
  return html`<tr><td class="full">${dateTime(hour.at).slice(0, 16)}</td>
    <td class="number" data-label="Step now">${shown(felt("step_ms"), " ms")}</td><td class="number" data-label="Without us">${shown(felt("alone_ms"), " ms")}</td><td class="number" data-label="Target">${shown(felt("target_ms"), " ms")}</td>
    <td class="number" data-label=${kind.name}>${shown(all(kind.of))}</td><td class="number" data-label="Out">${shown(all((each) => each.in_flight_mean))}</td>
    <td class="number" data-label="Window">${shown(read("window"))}</td><td class="number" data-label="Others">${shown(read("others"))}</td>
    <td class="number" data-label="Nothing new sent">${frozen ? `${Math.round(frozen)} s` : "–"}</td><td class="full" data-label="State">${WORDS[worst]}</td></tr>`;
}

/** @param {any[]} points @returns {{at: number, points: any[]}[]} the newest first */
function hours(points) {
  const found = new Map();
  for (const each of points) {
    const at = each.at - (each.at % HOUR);
    found.set(at, [...(found.get(at) ?? []), each]);
  }
  return [...found].map(([at, of]) => ({ at, points: of })).reverse();
}

/** A mean over what is known, weighted. @param {any[]} points @param {(each: any) => number|null} of @param {(each: any) => number} weight */
function mean(points, of, weight) {
  const known = points.filter((each) => of(each) !== null && weight(each) > 0);
  const seconds = known.reduce((sum, each) => sum + weight(each), 0);
  return seconds ? known.reduce((sum, each) => sum + /** @type {number} */ (of(each)) * weight(each), 0) / seconds : null;
}

/** @param {number|null} value */
const shown = (value, unit = "") => (value === null ? "–" : `${amount(value)}${unit}`);
