// @ts-check
/**
 * How backends, engines and deployments are, in plain words: what one does, since when, and when it is tried again. Nothing here
 * comforts: what has answered nobody lately is not called healthy, and who is silent is said to be so.
 */
import { clock, dateTime, duration, number, utc } from "../app/formats.js";
import { Icon } from "../app/parts/icons.js";
import { now } from "../app/polling.js";
import { to } from "../app/router.js";
import { html } from "../app/ui.js";

/** Calls that are out for longer than this without any coming back are worth a word. */
const QUIET_SECONDS = 10;

/** @typedef {{text: string, icon: string, tone: string, means: string}} Kind */
/** @type {Record<string, Kind>} */
export const KINDS = {
  serving: { text: "Serving", icon: "check", tone: "good", means: "Its backends take requests and answer them." },
  ok: { text: "Healthy", icon: "check", tone: "good", means: "It takes requests and answers them." },
  ready: { text: "Ready", icon: "info", tone: "plain", means: "Nothing is known to be wrong. It has answered nothing in the last minute, so how it is now is not known." },
  open: { text: "Ready", icon: "info", tone: "plain", means: "Nothing is known to be wrong with it." },
  quiet: { text: "No answer", icon: "clock", tone: "warn", means: "Requests are out and nothing comes back: it is slow, or silent." },
  degraded: { text: "Degraded", icon: "warning", tone: "warn", means: "Some of its backends take nothing; the others do the work." },
  waiting: { text: "Waiting", icon: "clock", tone: "warn", means: "Its backends have asked to be left alone until a moment; then requests go on." },
  busy: { text: "Busy", icon: "clock", tone: "warn", means: "It has asked to be left alone until a moment; then requests go on." },
  paused: { text: "Paused", icon: "clock", tone: "warn", means: "An operator has paused it. Nothing is sent until somebody resumes it." },
  refusing: { text: "Refusing", icon: "cross", tone: "bad", means: "It lets nobody in: a wrong key, a model that is not there, another path. Requests wait, or go to the others." },
  blocked: { text: "Blocked", icon: "cross", tone: "bad", means: "The account behind its key may not go on: its quota or its money is used up. It is looked at again now and then." },
  down: { text: "Down", icon: "cross", tone: "bad", means: "It does not answer, or with errors only. Requests wait, or go to the others." },
  draining: { text: "Draining", icon: "clock", tone: "warn", means: "It is being deleted: it takes nothing new, and goes when its last job has ended." },
  failed: { text: "Not served", icon: "cross", tone: "bad", means: "It cannot be served; the reason is below." },
};
/** Those that people are told of before they look for it. */
const TROUBLE = ["down", "refusing", "blocked", "quiet", "paused", "degraded"];

/** @param {{kind: string}} properties */
export function Pill({ kind }) {
  const known = KINDS[kind] ?? { text: kind, icon: "info", tone: "plain", means: "" };
  return html`<span class=${`pill health ${known.tone}`} title=${known.means}><${Icon} name=${known.icon} />${known.text}</span>`;
}

/** Whether calls have been out for long without any coming back. @param {number|null} since */
export const isQuiet = (since) => since !== null && now.value - since >= QUIET_SECONDS;

/** One of KINDS. @param {any} backend as `deployment_status` has it */
export function kindOfBackend(backend) {
  if (backend.health !== "ok") return backend.health;
  if (isQuiet(backend.quiet_since)) return "quiet";
  return backend.latency_seconds === null ? "ready" : "ok";
}

/** One of KINDS. @param {any} status as `deployment_status` has it */
export function kindOf(status) {
  if (status.health !== "serving") return status.health;
  const kinds = status.backends.map(kindOfBackend);
  if (kinds.includes("ok")) return "serving";
  return kinds.includes("quiet") ? "quiet" : "ready";
}

/**
 * What somebody does, behind their name. `reason` has the upstream's words for administrators.
 * @param {string} health @param {string|null} reason @param {boolean} [brief] where there is little room
 */
export function does(health, reason, brief = false) {
  // What came with a good status counts as another one, which is not what it answered.
  const status = /^status ([3-5]\d\d)/.exec(reason ?? "")?.[1];
  if (health === "paused") return "is paused";
  if (health === "busy") return brief ? "asks for a pause" : "has asked to be left alone";
  if (health === "blocked") return `${brief ? "may not go on" : "may not go on: its account is used up"}${status ? ` (${status})` : ""}`;
  if (health === "refusing") return `${brief ? "refuses calls" : "refuses the service’s calls"}${status ? ` (${status})` : ""}`;
  if (/^status 2\d\d with an error inside/.test(reason ?? "")) return "answers with an error inside";
  if (/^status 2/.test(reason ?? "")) return "gives no usable answer";
  if (status) return `answers ${status}`;
  if (/^It is not served/.test(reason ?? "")) return "is not served";
  if (/^No living server or worker/.test(reason ?? "")) return brief ? "has no sender" : "has nobody who sends for it";
  if (/^no connection/.test(reason ?? "")) return "cannot be reached";
  if (/^no (whole )?answer/.test(reason ?? "")) return "gives no answer in time";
  return /^the connection was closed/.test(reason ?? "") ? "hangs up" : "is down";
}

/** A moment as short as it can be: without its date where it is today's. @param {{at: number}} properties */
export function Since({ at }) {
  const [date, today] = [new Date(at * 1000), new Date(now.value * 1000)];
  const text = date.toDateString() === today.toDateString() ? clock(date).slice(0, 5) : dateTime(date).slice(0, 16);
  return html`<time class="nowrap" datetime=${date.toISOString()} title=${utc(at)}>${text}</time>`;
}

/** When it is looked at again; nobody looks where nothing waits for it. @param {number|null} until @param {boolean} wanted whether anything waits for it */
export function nextTry(until, wanted = true) {
  if (until === null) return "";
  const seconds = Math.ceil(until - now.value);
  if (seconds > 0) return `next try in ${duration(seconds)}`;
  return wanted ? "it is being tried now" : "tried again when a job needs it";
}

/** A deployment by its name, which leads to it. @param {{name: string}} properties */
export const Named = ({ name }) => html`<a href=${to("/deployments", { search: name })}>${name}</a>`;

/** The backend of several that is tried first. @param {any[]} backends */
const first = (backends) => [...backends].sort((one, other) => (one.until ?? Infinity) - (other.until ?? Infinity))[0];

/** Whether nobody sends for it, however its backends are. @param {any} status */
export const isUnsent = ({ waiting_on: waiting }) => waiting?.what === "deployment" && waiting.health === "down" && waiting.since !== null;

/**
 * What is to be said of a deployment on one line. @param {{status: any, named?: any}} properties named: how it is called there
 */
export function Sentence({ status, named = html`<${Named} name=${status.name} />` }) {
  const kind = kindOf(status);
  const { backends, pause } = status;
  const wanted = status.open_batches > 0;
  if (pause) return html`<strong>${named} is paused</strong> since <${Since} at=${pause.since} />${pause.who ? ` by ${pause.who}` : ""}${pause.reason ? `: ${pause.reason}` : ""}`;
  if (isUnsent(status)) return html`<strong>${named} ${does("down", status.waiting_on.reason)}</strong> since <${Since} at=${status.waiting_on.since} />`;
  if (!backends.length) return html`<strong>Nothing answers for ${named}</strong>: it has no backends`;
  const out = backends.filter((/** @type {any} */ each) => !["ok", "busy"].includes(each.health));
  if (kind === "quiet") {
    const silent = backends.filter((/** @type {any} */ each) => kindOfBackend(each) === "quiet");
    const calls = silent.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.in_flight, 0);
    const since = Math.max(...silent.map((/** @type {any} */ each) => each.quiet_since));
    return html`<strong>${named} has not answered for ${duration(now.value - since)}</strong>: ${requests(calls)} out`;
  }
  if (kind === "degraded") {
    const one = first(out);
    return html`<strong>${number(out.length)} of ${number(backends.length)} backends of ${named} ${out.length === 1 ? "takes" : "take"} nothing</strong>: ${one.name} ${does(one.health, one.reason)}<${Until} each=${one} wanted=${wanted} />`;
  }
  if (kind === "serving") return html`Requests are answered`;
  if (kind === "ready") return html`Nothing has been answered in the last minute: how its backends are now is not known`;
  const one = first(backends);
  if (kind === "waiting") return html`<strong>The engine of ${named} has asked to be left alone</strong><${Until} each=${one} wanted=${wanted} />`;
  const who = backends.length === 1 ? html`The engine of ${named}` : html`None of the ${number(backends.length)} backends of ${named} takes requests: the next that is tried`;
  return html`<strong>${who} ${does(one.health, one.reason)}</strong><${Until} each=${one} wanted=${wanted} />`;
}

/** Since when, and when again. @param {{each: any, wanted: boolean}} properties */
export function Until({ each, wanted }) {
  const again = nextTry(each.until, wanted);
  return html`${each.since !== null && html` since <${Since} at=${each.since} />`}${again && `; ${again}`}`;
}

/** "1 request is", "8 requests are". @param {number} count */
export const requests = (count) => (count === 1 ? "1 request is" : `${number(count)} requests are`);

/**
 * The line above a list: the deployments of which something is wrong. It always has its height, so that nothing below it moves.
 * @param {{deployments: any[]|null}} properties as `deployment_status` has them
 */
export function Trouble({ deployments }) {
  const rank = (/** @type {any} */ each) => (each.open_batches ? 0 : TROUBLE.length) + TROUBLE.indexOf(kindOf(each));
  const troubled = (deployments ?? []).filter((each) => TROUBLE.includes(kindOf(each))).sort((one, other) => rank(one) - rank(other));
  if (!troubled.length) return html`<p class="trouble small muted">${deployments?.length ? "Nothing is known to be wrong with the deployments." : ""}</p>`;
  const [worst, ...others] = troubled;
  return html`<p class=${`trouble small ${KINDS[kindOf(worst)].tone}`}><${Icon} name="warning" /><span class="cut"><${Sentence} status=${worst} />.${others.length > 0 && html` <a href=${to("/deployments")}>${number(others.length)} more</a>: ${others.map((each) => each.name).join(", ")}.`}</span></p>`;
}
