// @ts-check
/** How a job went, drawn: what ended when, how long calls took, and how long answers were. */
import { call, part } from "../app/api.js";
import { clock, duration, number, rate, short } from "../app/formats.js";
import { Panel } from "../app/parts/basics.js";
import { isOpen } from "../app/parts/status.js";
import { usePoll } from "../app/polling.js";
import { html, useRef } from "../app/ui.js";
import { most } from "./engine_points.js";
import { Axis, Hours, useWidth, wide } from "./picture_parts.js";

const LEFT = 52;
const RIGHT = 8;
const TOP = 18;
const HEIGHT = 84;
const BOTTOM = 20;
/** It is written down every five seconds; more often than that there is nothing new. */
const SECONDS = 5;
/** The last of it is there some seconds after the end. What a server that died had not written never is. */
const LOOKS_AFTER = 4;

/** The history of a job, as long as there may be more of it. @param {any} batch null while it is not known */
export function useHistory(batch) {
  const after = useRef(0);
  const wanted = batch && batch.status !== "failed";
  const known = usePoll((signal) => (wanted ? call(`/batches/${part(batch.id)}/history`, { signal }) : Promise.resolve(null)), [batch?.id, Boolean(wanted)], {
    seconds: SECONDS,
    again: (data) => {
      if (!wanted) return false;
      if (isOpen(batch.status)) return true;
      after.current += 1;
      const { completed, failed } = batch.request_counts;
      return after.current < LOOKS_AFTER && (data?.data ?? []).reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.completed + each.failed, 0) < completed + failed;
    },
  });
  return known.data;
}

/** What ended in each step. It has its height before there is anything to draw. @param {{history: any}} properties */
export function Throughput({ history }) {
  const [box, width] = useWidth();
  const points = history?.data ?? [];
  const step = history?.step ?? 1;
  const height = TOP + HEIGHT + BOTTOM;
  const from = points.length ? points[0].at : 0;
  // A job of a moment is no wall.
  const to = points.length ? Math.max(points[points.length - 1].at + step, from + 20 * step) : 1;
  const scale = (/** @type {number} */ at) => LEFT + ((width - LEFT - RIGHT) * (at - from)) / (to - from);
  const largest = most(points, (each) => (each.completed + each.failed) / step, 0.1);
  const tall = (/** @type {number} */ count) => (HEIGHT * count) / step / largest;
  return html`<figure class="engine-picture throughput"><figcaption class="unseen">Requests that ended, over time</figcaption>
    <div ref=${box} class="picture-box"><svg role="img" aria-label=${summary(points, step)} width=${width} height=${height} viewBox=${`0 0 ${width} ${height}`}>
      <${Axis} title="Requests/s" top=${TOP} height=${HEIGHT} most=${largest} left=${LEFT} right=${width - RIGHT} />
      ${!points.length && html`<text class="words" x=${LEFT + 8} y=${TOP + 22}>${history ? "Nothing has been written down yet." : ""}</text>`}
      ${points.map((/** @type {any} */ each) => html`<g key=${each.at}>
        <rect class="bars done" x=${scale(each.at)} width=${wide(scale, step)} y=${TOP + HEIGHT - tall(each.completed)} height=${tall(each.completed)} />
        <rect class="bars not-done" x=${scale(each.at)} width=${wide(scale, step)} y=${TOP + HEIGHT - tall(each.completed + each.failed)} height=${tall(each.failed)} />
        <rect class="hit" x=${scale(each.at)} width=${wide(scale, step)} y="0" height=${TOP + HEIGHT}><title>${told(each, step)}</title></rect></g>`)}
      ${points.length > 0 && html`<${Hours} from=${from} to=${to} scale=${scale} y=${height - 5} narrow=${width < 500} />`}
    </svg></div>
    <ul class="picture-legend small"><li><i class="bars-done"></i>Answered</li><li><i class="bars-not-done"></i>Failed</li><li class="muted">${history ? `each bar ${duration(step)}` : ""}</li></ul></figure>`;
}

/** @param {any} each @param {number} step */
const told = (each, step) => `${clock(each.at)}, for ${duration(step)}: ${number(each.completed)} answered, ${number(each.failed)} failed; ${rate(each.output_tokens / step)} tokens/s written`;

/** @param {any[]} points @param {number} step */
function summary(points, step) {
  if (!points.length) return "Requests that ended, over time: nothing yet";
  const rates = points.map((each) => (each.completed + each.failed) / step);
  return `Requests that ended, over time: from ${clock(points[0].at)} to ${clock(points[points.length - 1].at + step)}, at most ${rate(Math.max(...rates))} a second`;
}

/** How long calls took, and how long answers were; as high before there is any. @param {{history: any}} properties */
export function Spreads({ history }) {
  return html`<${Panel} title="Latency and answers"><div class="spreads">
    <${Spread} title="Latency of a request" of=${history?.latency_seconds ?? NONE} shown=${seconds} more="How long the call took that brought the answer" />
    <${Spread} title="Output tokens of an answer" of=${history?.answer_tokens ?? NONE} shown=${tokens} more="As the engine counted them" /></div><//>`;
}

/** Too narrow for two words beside each other, in pixels. */
const NARROW = 110;
const NONE = { count: 0, p50: null, p90: null, p99: null, data: [] };

/** @param {{title: string, of: any, shown: (value: number|null) => string, more: string}} properties */
function Spread({ title, of, shown, more }) {
  const [box, width] = useWidth();
  const ends = of.data.length ? [of.data[0].above, of.data[of.data.length - 1].upto] : null;
  const largest = Math.max(...of.data.map((/** @type {any} */ bar) => bar.count));
  const each = width / Math.max(of.data.length, 8);
  const name = !of.count ? `${title}: nothing yet` : `${title}: half at most ${shown(of.p50)}, nine tenths ${shown(of.p90)}, all but a hundredth ${shown(of.p99)}`;
  return html`<figure class="engine-picture spread"><figcaption title=${more}><strong>${title}</strong> <span class="small muted">${of.count ? `of ${short(of.count)}` : "nothing yet"}</span></figcaption>
    <dl class="percentiles">${[["p50", of.p50], ["p90", of.p90], ["p99", of.p99]].map(([part, value]) => html`<div key=${part}><dt>${part}</dt><dd>${shown(/** @type {number} */ (value))}</dd></div>`)}</dl>
    <div ref=${box} class="picture-box"><svg role="img" aria-label=${name} width=${width} height="84" viewBox=${`0 0 ${width} 84`}>
      <line class="grid" x1="0" x2=${width} y1="64" y2="64" />
      ${of.data.map((/** @type {any} */ bar, /** @type {number} */ index) => html`<g key=${bar.upto}><rect class="bars batch" x=${index * each + 1} width=${Math.max(1, each - 2)} y=${64 - (60 * bar.count) / largest} height=${(60 * bar.count) / largest} />
        <rect class="hit" x=${index * each} width=${each} y="0" height="64"><title>${`above ${shown(bar.above)}, up to ${shown(bar.upto)}: ${number(bar.count)}`}</title></rect></g>`)}
      ${ends && (each * of.data.length < NARROW
        ? html`<text class="axis" x="0" y="80">${`${shown(ends[0])} to ${shown(ends[1])}`}</text>`
        : html`<text class="axis" x="0" y="80">${shown(ends[0])}</text><text class="axis" x=${each * of.data.length} y="80" text-anchor="end">${shown(ends[1])}</text>`)}
    </svg></div></figure>`;
}

/** @param {number|null} value */
const seconds = (value) => (value === null ? "–" : value < 1 ? `${Number((value * 1000).toPrecision(2))} ms` : value < 60 ? `${Number(value.toPrecision(2))} s` : duration(value));
/** @param {number|null} value */
const tokens = (value) => short(value === null ? null : Math.floor(value));
