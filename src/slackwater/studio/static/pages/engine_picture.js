// @ts-check
/**
 * A day of an engine, drawn: the step as online users felt it and as it would have been without batches, what batches got
 * meanwhile, how many requests were out, and when nothing was sent. What it draws stands in a table below it, too.
 */
import { clock } from "../app/formats.js";
import { html } from "../app/ui.js";
import { EngineTable } from "./engine_table.js";
import { amount, most, ofShared, stateOf, throughput, WORDS } from "./engine_points.js";
import { Axis, Hours, useWidth, wide } from "./picture_parts.js";

const LEFT = 52;
const RIGHT = 8;
/** Room for the words of the left axis, then each part with its height. */
const PARTS = { latency: 110, batch: 80, out: 80, states: 14 };
const GAP = 26;

/** @param {{engine: string, points: any[], from: number, to: number, step: number}} properties */
export function EnginePicture({ engine, points, from, to, step }) {
  const [box, width] = useWidth();
  const shared = points.some(ofShared);
  // Of an engine that nobody can look into there is no step to be drawn.
  const looked = points.some((each) => each.pacing.seconds > 0);
  const latency = looked ? PARTS.latency + GAP : 0;
  const kind = throughput(points);
  const scale = (/** @type {number} */ at) => LEFT + ((width - LEFT - RIGHT) * (at - from)) / (to - from);
  const top = { latency: 18, batch: 18 + latency, out: 18 + latency + PARTS.batch + GAP, states: 18 + latency + PARTS.batch + PARTS.out + 2 * GAP };
  const height = top.states + PARTS.states + 22;
  const steps = { top: top.latency, height: PARTS.latency, most: most(points, (each) => Math.max(each.pacing.step_ms ?? 0, each.pacing.target_ms ?? 0)), scale, step };
  const batch = { top: top.batch, height: PARTS.batch, most: most(points, kind.of), scale, step };
  const out = { top: top.out, height: PARTS.out, most: most(points, (each) => Math.max(windowOf(each) ?? 0, each.in_flight_mean ?? 0, each.pacing.others ?? 0)), scale, step };
  return html`<figure class="engine-picture"><figcaption class="small"><code>${engine}</code></figcaption>
    <${Legend} batches=${kind.name} looked=${looked} />
    <div ref=${box} class="picture-box"><svg role="img" aria-label=${`What became of ${engine}: ${summary(points, kind)}`} width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`}>
      ${looked && html`<${Axis} ...${steps} title="Step, ms" left=${LEFT} right=${width - RIGHT} />`}
      ${!looked ? "" : shared ? html`<${Line} ...${steps} points=${points} of=${(/** @type {any} */ each) => each.pacing.target_ms} look="target" />
        <${Line} ...${steps} points=${points} of=${(/** @type {any} */ each) => each.pacing.alone_ms} look="alone" />
        <${Line} ...${steps} points=${points} of=${(/** @type {any} */ each) => each.pacing.step_ms} look="now" />`
      : html`<text class="words" x=${LEFT + 8} y=${top.latency + 22}>No online users were seen beside batches.</text>`}
      <${Axis} ...${batch} title=${kind.name} left=${LEFT} right=${width - RIGHT} />
      ${kind.hidden ? html`<text class="words" x=${LEFT + 8} y=${top.batch + 22}>Not shown: other resources use it, too.</text>` : html`<${Bars} ...${batch} points=${points} of=${kind.of} look="batch" />`}
      <${Axis} ...${out} title="Requests" left=${LEFT} right=${width - RIGHT} />
      <${Bars} ...${out} points=${points} of=${(/** @type {any} */ each) => each.in_flight_mean} look="out" />
      <${Line} ...${out} points=${points} of=${windowOf} look="window" />
      <${Line} ...${out} points=${points} of=${(/** @type {any} */ each) => each.pacing.others} look="others" />
      <text class="axis" x=${LEFT} y=${top.states - 6}>State</text>
      <rect class="unknown" x=${LEFT} y=${top.states} width=${width - LEFT - RIGHT} height=${PARTS.states} />
      ${points.map((each) => html`<rect key=${each.at} class=${`state of-${stateOf(each)}`} x=${scale(each.at)} y=${top.states} width=${wide(scale, step)} height=${PARTS.states} />`)}
      <${Hours} from=${from} to=${to} scale=${scale} y=${height - 6} narrow=${width < 500} />
      ${points.map((each) => html`<rect key=${each.at} class="hit" x=${scale(each.at)} y=${0} width=${wide(scale, step)} height=${top.states + PARTS.states}><title>${told(each, kind)}</title></rect>`)}
    </svg></div>
    <${EngineTable} engine=${engine} points=${points} kind=${kind} /></figure>`;
}

/** A line through the middles of steps; broken where nothing was seen. @param {any} properties */
function Line({ points, of, top, height, most: largest, scale, step, look }) {
  let path = "";
  let before = -1;
  for (const each of points) {
    const value = of(each);
    if (value === null) {
      before = -1;
      continue;
    }
    const [x, y] = [scale(each.at + step / 2).toFixed(1), (top + height * (1 - value / largest)).toFixed(1)];
    // A step alone is a short line, or nobody would see it.
    path += before === each.at - step ? `L${x} ${y}` : `M${scale(each.at).toFixed(1)} ${y}L${x} ${y}`;
    before = each.at;
  }
  return html`<path class=${`line ${look}`} d=${path} />`;
}

/** @param {any} properties */
function Bars({ points, of, top, height, most: largest, scale, step, look }) {
  return points.map((/** @type {any} */ each) => of(each) > 0 && html`<rect key=${each.at} class=${`bars ${look}`} x=${scale(each.at)} width=${wide(scale, step)} y=${top + height * (1 - of(each) / largest)} height=${(height * of(each)) / largest} />`);
}

/** How many requests might be out: where nobody paces it, all that it may have. @param {any} each */
const windowOf = (each) => each.pacing.window ?? each.slots;

/** @param {{batches: string, looked: boolean}} properties */
function Legend({ batches, looked }) {
  return html`<ul class="picture-legend small">
    ${looked && html`<li><i class="key-now"></i>Step now, as online users felt it</li><li><i class="key-alone"></i>Step without us</li><li><i class="key-target"></i>Target</li>`}
    <li><i class="key-batch"></i>Batches: ${batches.toLowerCase()}</li><li><i class="key-out"></i>Batch requests out</li><li><i class="key-window"></i>Window</li>${looked && html`<li><i class="key-others"></i>Others’ requests</li>`}
    ${Object.entries(WORDS).map(([state, word]) => html`<li key=${state}><i class=${`state of-${state}`}></i>${word}</li>`)}</ul>`;
}

/** One step in words, for whoever points at it. @param {any} each @param {any} kind */
function told(each, kind) {
  const { pacing } = each;
  const said = [`${clock(each.at).slice(0, 5)}: ${WORDS[stateOf(each)].toLowerCase()}`];
  if (ofShared(each)) said.push(`step ${pacing.step_ms.toFixed(1)} ms, without us ${pacing.alone_ms.toFixed(1)} ms`);
  if (!kind.hidden) said.push(`${kind.name.toLowerCase()} ${amount(kind.of(each) ?? 0)}`);
  if (pacing.window !== null) said.push(`window ${amount(pacing.window)}, others ${amount(pacing.others)}`);
  return said.join("; ");
}

/** The day in a sentence, for those who do not see it. @param {any[]} points @param {any} kind */
function summary(points, kind) {
  const seen = points.filter(ofShared);
  const seconds = seen.reduce((sum, each) => sum + each.pacing.shared_seconds, 0);
  const mean = (/** @type {string} */ name) => seen.reduce((sum, each) => sum + each.pacing[name] * each.pacing.shared_seconds, 0) / seconds;
  const steps = seen.length ? `a step took ${mean("step_ms").toFixed(1)} ms on average, and would have taken ${mean("alone_ms").toFixed(1)} ms without batches` : "no online users were seen beside batches";
  return `${steps}; ${kind.name.toLowerCase()} of batches at most ${kind.hidden ? "not shown" : amount(most(points, kind.of, 0))}. The table below has it by the hour.`;
}
