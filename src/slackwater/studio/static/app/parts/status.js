// @ts-check
/** The eight statuses of a batch: a word, an icon and a colour each, and the bar of its progress. */
import { number, percent, short } from "../formats.js";
import { html } from "../ui.js";
import { Icon } from "./icons.js";

/** @type {Record<string, {text: string, icon: string, tone: string, means: string}>} */
export const STATUSES = {
  validating: { text: "Validating", icon: "search", tone: "busy", means: "The file is checked first, and the job then waits for room in its deployment." },
  in_progress: { text: "In progress", icon: "run", tone: "busy", means: "It is its turn: its requests are sent as its deployment takes them." },
  finalizing: { text: "Finalizing", icon: "pack", tone: "busy", means: "The result files are being written." },
  completed: { text: "Completed", icon: "check", tone: "good", means: "All requests have been tried; the results are ready." },
  failed: { text: "Failed", icon: "cross", tone: "bad", means: "The input file was refused; nothing was sent." },
  expired: { text: "Expired", icon: "clock", tone: "warn", means: "The completion window ended first; what was answered is kept." },
  cancelling: { text: "Cancelling", icon: "stop", tone: "warn", means: "It is being stopped; what was answered is kept." },
  cancelled: { text: "Cancelled", icon: "stop", tone: "plain", means: "It was stopped; what was answered is kept." },
};
export const OPEN = ["validating", "in_progress", "finalizing", "cancelling"];

/** Whether a batch still changes. @param {string|null|undefined} status */
export const isOpen = (status) => OPEN.includes(status ?? "");

/** @typedef {{total: number, completed: number, failed: number}} Counts */
const WAITING = { text: "Waiting", icon: "clock", tone: "warn", means: "Nothing of it is sent at the moment; why is said beside it." };

/**
 * The pill of a job. @param {{status: string, waits?: boolean, counts?: Counts}} properties waits: it is valid and waits for room,
 *   or nothing of it can be sent; counts: where they are known, a job that has completed with failures says so
 */
export function Status({ status, waits = false, counts }) {
  const known = waits ? WAITING : (withFailures(status, counts) ?? STATUSES[status] ?? { text: status, icon: "info", tone: "plain", means: "" });
  return html`<span class=${`pill ${known.tone}`} title=${known.means}><${Icon} name=${known.icon} /><span class="cut">${known.text}</span></span>`;
}

/** @param {string} status @param {Counts|undefined} counts */
function withFailures(status, counts) {
  if (status !== "completed" || !counts?.failed) return null;
  const all = counts.completed === 0;
  return { text: `Completed, ${all ? "all " : ""}${short(counts.failed)} failed`, icon: "warning", tone: all ? "bad" : "warn", means: `All requests have been tried; ${number(counts.failed)} of ${number(counts.total)} have failed.` };
}

/** Lines that were never sent to an end, because the job was stopped first: they have not failed. @param {string} status @param {Counts} counts */
export const neverRan = (status, counts) => (["cancelled", "expired"].includes(status) ? counts.total - counts.completed - counts.failed : 0);

/**
 * How far a batch is: answered, failed, open.
 * @param {{counts: {total: number, completed: number, failed: number}, label?: string, large?: boolean}} properties
 */
export function Progress({ counts, label = "Progress", large = false }) {
  const { total, completed, failed } = counts;
  const share = (/** @type {number} */ part) => ({ width: `${total ? (100 * part) / total : 0}%` });
  const text = `${number(completed + failed)} of ${number(total)}, ${percent(completed + failed, total)}${failed ? `, ${number(failed)} failed` : ""}`;
  return html`<div class=${`bar ${large ? "large" : ""}`} role="progressbar" aria-label=${label} aria-valuemin="0" aria-valuemax=${total || 1}
    aria-valuenow=${completed + failed} aria-valuetext=${text} title=${text}>
    <div class="bar-good" style=${share(completed)}></div><div class="bar-bad" style=${share(failed)}></div></div>`;
}
