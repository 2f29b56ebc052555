// @ts-check
/** The eight statuses of a batch: a word, an icon and a colour each, and the bar of its progress. */
import { number, percent } from "../formats.js";
import { html } from "../ui.js";
import { Icon } from "./icons.js";

/** @type {Record<string, {text: string, icon: string, tone: string, means: string}>} */
export const STATUSES = {
  validating: { text: "Validating", icon: "search", tone: "busy", means: "The file is being checked, or waits for room in its deployment." },
  in_progress: { text: "In progress", icon: "run", tone: "busy", means: "Requests are being answered." },
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

/** @param {{status: string, waits?: boolean}} properties waits: it is valid and waits for room, or nothing of it can be sent */
export function Status({ status, waits = false }) {
  const known = STATUSES[status] ?? { text: status, icon: "info", tone: "plain", means: "" };
  return html`<span class=${`pill ${waits ? "warn" : known.tone}`} title=${known.means}><${Icon} name=${waits ? "clock" : known.icon} />${waits ? "Waiting" : known.text}</span>`;
}

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
