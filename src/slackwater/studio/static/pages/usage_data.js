// @ts-check
/** Periods of days in UTC, and the rows of the account turned round into what a chart of days needs. */

const DAY = 86_400_000;
export const DAYS_MAX = 400;
/** More than this cannot be told apart by colour; the smallest share one. */
const SERIES_MAX = 7;

/** @type {[string, string][]} */
export const PERIODS = [["month", "This month"], ["last-month", "Last month"], ["7", "7 days"], ["30", "30 days"], ["90", "90 days"], ["custom", "Custom"]];
/** @type {Record<string, {text: string, unit: string, of: (row: any) => number}>} */
export const MEASURES = {
  tokens: { text: "Tokens", unit: "tokens", of: (row) => row.input_tokens + row.output_tokens },
  cost: { text: "Cost", unit: "", of: (row) => Number(row.cost ?? 0) },
  requests: { text: "Requests", unit: "requests", of: (row) => row.requests },
};

/** @param {number} milliseconds */
const written = (milliseconds) => new Date(milliseconds).toISOString().slice(0, 10);
/** @param {string} day @returns {number} NaN where it is none */
const read = (day) => (/^\d{4}-\d{2}-\d{2}$/.test(day) ? Date.parse(`${day}T00:00:00Z`) : NaN);

/**
 * The first and the last day of a period.
 * @param {Record<string, string>} query
 * @param {number} now in milliseconds
 * @returns {{name: string, start: string, end: string, fault: string|null}}
 */
export function periodOf(query, now) {
  const today = Math.floor(now / DAY) * DAY;
  const name = PERIODS.some(([known]) => known === query.period) ? query.period : "month";
  const date = new Date(today);
  const first = (/** @type {number} */ months) => Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + months, 1);
  const of = (/** @type {number} */ start, /** @type {number} */ end) => ({ name, start: written(start), end: written(end), fault: null });
  if (name === "month") return of(first(0), today);
  if (name === "last-month") return of(first(-1), first(0) - DAY);
  if (name !== "custom") return of(today - (Number(name) - 1) * DAY, today);
  const start = query.start || written(first(0));
  const end = query.end || written(today);
  return { name, start, end, fault: faultOf(read(start), read(end)) };
}

/** @param {number} start @param {number} end */
function faultOf(start, end) {
  if (Number.isNaN(start) || Number.isNaN(end)) return "Choose a first and a last day.";
  if (end < start) return "The first day is behind the last one. Exchange them.";
  return end - start >= DAYS_MAX * DAY ? `At most ${DAYS_MAX} days can be shown at once. Choose fewer.` : null;
}

/** Every day of a period, those without work, too. @param {string} start @param {string} end */
export function daysOf(start, end) {
  const days = [];
  for (let day = read(start); day <= read(end) && days.length < DAYS_MAX; day += DAY) days.push(written(day));
  return days;
}

/**
 * One series per deployment (or model), the largest first.
 * @param {any[]} rows @param {string[]} days @param {string} by @param {(row: any) => number} measure
 * @returns {{name: string, values: number[], total: number, others: boolean}[]}
 */
export function seriesOf(rows, days, by, measure) {
  const at = new Map(days.map((day, index) => [day, index]));
  const found = new Map();
  for (const row of rows) {
    const name = nameOf(row, by);
    const one = found.get(name) ?? { name, values: days.map(() => 0), total: 0, others: false };
    const index = at.get(row.day);
    if (index !== undefined) one.values[index] += measure(row);
    one.total += measure(row);
    found.set(name, one);
  }
  const all = [...found.values()].sort((one, other) => other.total - one.total || one.name.localeCompare(other.name));
  if (all.length <= SERIES_MAX + 1) return all;
  const rest = all.slice(SERIES_MAX);
  const others = {
    name: `${rest.length} others`,
    values: days.map((_, index) => rest.reduce((sum, each) => sum + each.values[index], 0)),
    total: rest.reduce((sum, each) => sum + each.total, 0),
    others: true,
  };
  return [...all.slice(0, SERIES_MAX), others];
}

/** @param {any} row @param {string} by */
export const nameOf = (row, by) => row[by] || "(not named)";

/** The currencies in a report, and whether there is work without a price. @param {any} report */
export function currenciesOf(report) {
  const currencies = report.total.map((/** @type {any} */ row) => row.currency);
  return { currencies: currencies.filter(Boolean), unpriced: currencies.includes(null) };
}
