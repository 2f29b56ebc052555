// @ts-check
/** What pictures over time are made of: their room, axes, and marks of the clock. */
import { clock } from "../app/formats.js";
import { html, useEffect, useRef, useState } from "../app/ui.js";
import { amount } from "./engine_points.js";

/** How wide it may be; drawn anew where that changes, so that words keep their size. */
export function useWidth() {
  const box = useRef(/** @type {HTMLElement|null} */ (null));
  const [width, setWidth] = useState(640);
  useEffect(() => {
    if (!box.current) return undefined;
    const observer = new ResizeObserver(([entry]) => setWidth(Math.max(240, Math.floor(entry.contentRect.width))));
    observer.observe(box.current);
    return () => observer.disconnect();
  }, []);
  return /** @type {[any, number]} */ ([box, width]);
}

/** @param {(at: number) => number} scale @param {number} step */
export const wide = (scale, step) => Math.max(1, scale(step) - scale(0) + 0.3);

/** @param {any} properties */
export function Axis({ title, top, height, most: largest, left, right }) {
  return html`<text class="axis" x=${left} y=${top - 6}>${title}</text>
    ${[0, 0.5, 1].map((share) => html`<g key=${share}><line class="grid" x1=${left} x2=${right} y1=${top + height * (1 - share)} y2=${top + height * (1 - share)} />
      <text class="axis" text-anchor="end" x=${left - 6} y=${top + height * (1 - share) + 4}>${amount(largest * share)}</text></g>`)}`;
}

/** How far marks of the clock may be apart, in seconds. */
const BETWEEN = [5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400, 172800, 604800];

/** @param {{from: number, to: number, scale: (at: number) => number, y: number, narrow: boolean}} properties */
export function Hours({ from, to, scale, y, narrow }) {
  const most = narrow ? 3 : 6;
  const between = BETWEEN.find((each) => (to - from) / each <= most) ?? BETWEEN[BETWEEN.length - 1];
  const marks = [];
  // From the beginning of their day, which is not that of UTC everywhere.
  const day = new Date(from * 1000).setHours(0, 0, 0, 0) / 1000;
  for (let at = day + between * Math.ceil((from - day) / between); at <= to; at += between) marks.push(at);
  // Half a mark beyond the edge is none.
  return marks.filter((at) => scale(at) <= scale(to) - (between < 60 ? 26 : 12)).map((at) => html`<text key=${at} class="axis" text-anchor="middle" x=${scale(at)} y=${y}>${between < 60 ? clock(at) : clock(at).slice(0, 5)}</text>`);
}
