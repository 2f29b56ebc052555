// @ts-check
/** What steps of an engine's history say: which state each was in, what batches got, and how large the largest was. */

/** What the parts of the line of states mean, the worst last. @type {Record<string, string>} */
export const WORDS = {
  fine: "Ready",
  frozen: "Nothing new sent, for the sake of others",
  lost: "Metrics page lost",
  held: "Paused or asked to wait",
  broken: "Refusing, blocked or down",
};

/** One of WORDS: what it was for at least a quarter of the step, the worst first. @param {any} point */
export function stateOf(point) {
  const enough = point.seconds / 4;
  if (point.paused_seconds >= enough && point.seconds) return ["refusing", "blocked", "down"].includes(point.state) ? "broken" : "held";
  if (point.pacing.lost_seconds >= enough && point.seconds) return "lost";
  return point.pacing.frozen_seconds >= enough && point.seconds ? "frozen" : "fine";
}

/** Whether others were there, and what they felt is known. @param {any} point */
export const ofShared = (point) => point.pacing.step_ms !== null && point.pacing.alone_ms !== null;

/** What batches got: tokens where there were any, or else requests. @param {any[]} points */
export function throughput(points) {
  const hidden = points.length > 0 && points.every((each) => each.tokens_per_second === null);
  const tokens = hidden || !points.length || points.some((each) => each.tokens_per_second > 0);
  const name = tokens ? "tokens_per_second" : "requests_per_second";
  return { name: tokens ? "Tokens/s" : "Requests/s", hidden, of: (/** @type {any} */ each) => each[name] };
}

/** A round number that none is above. @param {any[]} points @param {(each: any) => number|null} of @param {number} [least] */
export function most(points, of, least = 1) {
  const largest = points.reduce((so, each) => Math.max(so, of(each) ?? 0), 0);
  if (!least) return largest;
  if (!largest) return least;
  const unit = 10 ** Math.floor(Math.log10(largest));
  return unit * ([1, 1.5, 2, 3, 4, 5, 6, 8, 10].find((each) => each * unit >= largest) ?? 10);
}

/** A number as short as an axis needs it. @param {number} value */
export const amount = (value) => (value >= 10000 ? `${Number((value / 1000).toPrecision(3))}K` : String(Number(value.toPrecision(3))));
