// @ts-check
/** How numbers, sizes, money and times are written. Dates are year-month-day, which nobody reads wrongly. */

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const SHORT = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });
const NOTHING = "–";

/** 12,345 @param {number|null|undefined} value */
export const number = (value) => (value === null || value === undefined ? NOTHING : WHOLE.format(value));

/** 12.3K, for narrow columns; the whole number belongs into the title. @param {number|null|undefined} value */
export const short = (value) => (value === null || value === undefined ? NOTHING : value < 10000 ? WHOLE.format(value) : SHORT.format(value));

/** A rate such as 3.4 or 120. @param {number|null|undefined} value */
export function rate(value) {
  if (value === null || value === undefined) return NOTHING;
  return value < 10 ? value.toFixed(1) : WHOLE.format(value);
}

/** 12.3 MB (decimal units, as disks and browsers count). @param {number|null|undefined} value */
export function bytes(value) {
  if (value === null || value === undefined) return NOTHING;
  if (value < 1000) return `${value} B`;
  const units = ["kB", "MB", "GB", "TB"];
  let size = value;
  let unit = -1;
  while (size >= 999.5 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size < 10 ? size.toFixed(1) : Math.round(size)} ${units[unit]}`;
}

/** Never 100 % before it is all. @param {number} part @param {number} whole */
export function percent(part, whole) {
  if (!whole) return "0 %";
  const share = (100 * part) / whole;
  return `${part < whole ? Math.min(99, Math.floor(share)) : 100} %`;
}

/** Money as the service wrote it, without needless digits: 0.0042 USD. @param {string|null|undefined} cost @param {string|null|undefined} currency */
export function money(cost, currency) {
  if (cost === null || cost === undefined) return NOTHING;
  const value = Number(cost);
  const digits = value === 0 || value >= 1 ? 2 : value >= 0.01 ? 4 : 6;
  return `${value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: digits })}${currency ? ` ${currency}` : ""}`;
}

/** 4 s, 3 min 20 s, 2 h 5 min, 3 d 4 h. @param {number|null|undefined} seconds */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return NOTHING;
  const whole = Math.max(0, Math.round(seconds));
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return join(Math.floor(whole / 60), "min", whole < 600 ? whole % 60 : 0, "s");
  if (whole < 86400) return join(Math.floor(whole / 3600), "h", Math.floor((whole % 3600) / 60), "min");
  return join(Math.floor(whole / 86400), "d", Math.floor((whole % 86400) / 3600), "h");
}

/** @param {number} large @param {string} unit @param {number} small @param {string} smallUnit */
const join = (large, unit, small, smallUnit) => `${large} ${unit}${small ? ` ${small} ${smallUnit}` : ""}`;

/** An estimate, rounded so that it promises no more than it knows: about 5 min. @param {number} seconds */
export function about(seconds) {
  const steps = [5, 10, 15, 20, 30, 45];
  if (seconds <= 45) return `${steps.find((step) => seconds <= step)} s`;
  if (seconds < 3600) return `${Math.max(1, Math.round(seconds / 60))} min`;
  if (seconds < 86400) return duration(Math.round(seconds / 600) * 600);
  return duration(Math.round(seconds / 3600) * 3600);
}

/** @param {number} value */
const two = (value) => String(value).padStart(2, "0");

/** 2026-01-31 14:05:09 in local time. @param {number|Date} moment seconds since 1970, or a date */
export function dateTime(moment) {
  const date = moment instanceof Date ? moment : new Date(moment * 1000);
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day} ${clock(date)}`;
}

/** 14:05:09 in local time. @param {number|Date} moment */
export function clock(moment) {
  const date = moment instanceof Date ? moment : new Date(moment * 1000);
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** 2026-01-31 13:05:09 UTC. @param {number} seconds */
export const utc = (seconds) => `${new Date(seconds * 1000).toISOString().slice(0, 19).replace("T", " ")} UTC`;

/** in 5 min, in 3 h, in 2 d, and the date after a month. @param {number} seconds @param {number} now in seconds */
export function ahead(seconds, now) {
  const left = seconds - now;
  if (left < 60) return "now";
  if (left < 3600) return `in ${Math.round(left / 60)} min`;
  if (left < 2 * 86400) return `in ${Math.round(left / 3600)} h`;
  return left < 31 * 86400 ? `in ${Math.round(left / 86400)} d` : dateTime(seconds).slice(0, 10);
}

/** just now, 5 min ago, 3 h ago, and the date after a day. @param {number} seconds @param {number} now in seconds */
export function ago(seconds, now) {
  const passed = now - seconds;
  if (passed < 45) return "just now";
  if (passed < 3600) return `${Math.max(1, Math.round(passed / 60))} min ago`;
  if (passed < 86400) return `${Math.round(passed / 3600)} h ago`;
  return dateTime(seconds).slice(0, 16);
}
