// @ts-check
/** Where a job stands: the line of its life, how far it is, how fast, and how long it may still take. */
import { part } from "../app/api.js";
import { about, dateTime, duration, money, number, percent, rate } from "../app/formats.js";
import { Id, Panel, Path, Time } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { isOpen, neverRan, Progress, STATUSES } from "../app/parts/status.js";
import { now } from "../app/polling.js";
import { isAdmin } from "../app/session.js";
import { to } from "../app/router.js";
import { html } from "../app/ui.js";
import { Throughput } from "./batch_picture.js";
import { isQuiet, Named, requests } from "./health.js";
import { TryNow, WaitingOn } from "./pauses.js";

/** @param {{batch: any, progress: any, history: any, onDone: () => void}} properties */
export function Where({ batch, progress, history, onDone }) {
  return html`<${Panel} title="Status"><${LifeLine} batch=${batch} waits=${progress.waiting_on !== null || progress.queue_position !== null} />
    ${batch.status !== "failed" && html`<${HowFar} batch=${batch} progress=${progress} history=${history} onDone=${onDone} />`}<//>`;
}

/** The states that the batch went through, with their times, and those that are to come. @param {{batch: any, waits: boolean}} properties */
function LifeLine({ batch, waits }) {
  const steps = stepsOf(batch);
  return html`<ol class="life">${steps.map((step, index) => {
    const known = STATUSES[step.status];
    const until = steps[index + 1]?.at ?? (step.here && isOpen(batch.status) ? now.value : null);
    const state = step.here ? "here" : step.at === null ? "to-come" : "past";
    // A tick is for what came to its own end.
    const short = state === "past" && cutShort(step.status, batch);
    const faulty = short && batch.status === "failed";
    return html`<li key=${step.status} class=${`${state} ${short ? "short" : ""} ${faulty ? "bad" : ""} ${step.here ? toneOf(batch, waits) : ""}`} aria-current=${step.here ? "step" : undefined} title=${known.means}>
      <span class="dot"><${Icon} name=${faulty ? "cross" : state === "past" && !short ? "check" : step.here && waits ? "clock" : known.icon} /></span>
      <div><strong>${known.text}</strong><div class="small muted">${step.at === null ? "–" : html`<${Time} at=${step.at} />`}</div>
        <div class="small muted span">${step.at !== null && until !== null ? `for ${duration(until - step.at)}` : ""}</div></div></li>`;
  })}</ol>`;
}

/** Whether a job left a state because it was refused, stopped or out of time. @param {string} status @param {any} batch */
function cutShort(status, batch) {
  if (status === "validating") return batch.in_progress_at === null;
  return status !== "cancelling" && (batch.cancelling_at !== null || (status === "in_progress" && batch.expired_at !== null));
}

/** @param {any} batch @param {boolean} waits */
const toneOf = (batch, waits) => (waits || (batch.status === "completed" && batch.request_counts.failed) ? "warn" : STATUSES[batch.status].tone);

/** @param {any} batch @returns {{status: string, at: number|null, here: boolean}[]} */
function stepsOf(batch) {
  const moments = /** @type {Record<string, number|null>} */ ({
    validating: batch.created_at,
    in_progress: batch.in_progress_at,
    finalizing: batch.finalizing_at,
    cancelling: batch.cancelling_at,
    completed: batch.completed_at,
    failed: batch.failed_at,
    expired: batch.expired_at,
    cancelled: batch.cancelled_at,
  });
  const passed = Object.keys(moments).filter((status) => moments[status] !== null);
  const end = batch.cancelling_at !== null ? "cancelled" : batch.status === "expired" ? "expired" : batch.status === "failed" ? "failed" : "completed";
  /** @type {Record<string, string[]>} */
  const plans = { completed: ["validating", "in_progress", "finalizing"], cancelled: ["cancelling"], expired: ["finalizing"], failed: [] };
  const planned = plans[end];
  const statuses = Object.keys(moments).filter((status) => passed.includes(status) || planned.includes(status) || status === end);
  return statuses.map((status) => ({ status, at: moments[status], here: status === batch.status }));
}

/** @param {{batch: any, progress: any, history: any, onDone: () => void}} properties */
function HowFar({ batch, progress, history, onDone }) {
  const { total, completed, failed } = progress.counts;
  const done = completed + failed;
  const never = neverRan(batch.status, progress.counts);
  return html`<div class="how-far">
    <div class="row"><strong class="big">${percent(done, total)}</strong>
      <span>${number(done)} of ${number(total)} requests done${failed ? html`, <a href="#errors" class="failed-count">${number(failed)} failed</a>` : ""}${never ? `, ${number(never)} ${batch.status}` : ""}</span>
      <span class="push time-left">${timeLeft(batch, progress)}</span></div>
    <${Progress} counts=${progress.counts} large />
    <${Throughput} history=${history} />
    <div class="how-now small muted"><${HowNow} batch=${batch} progress=${progress} done=${done} onDone=${onDone} /></div></div>`;
}

/** What happens at the moment, or why nothing does: two lines at most. @param {{batch: any, progress: any, done: number, onDone: () => void}} properties */
function HowNow({ batch, progress, done, onDone }) {
  const { waiting_on: waiting, queue_position: position, requests_out: out, quiet_since: quiet } = progress;
  const deployment = html`<${Named} name=${progress.deployment ?? "its deployment"} />`;
  if (waiting) {
    const looked = waiting.health !== "paused" && !["deployment", "content_filter", "disk", "storage"].includes(waiting.what);
    return html`<${WaitingOn} waiting=${waiting} deployment=${progress.deployment} verb=${looked && html`<${TryNow} path=${`/batches/${part(batch.id)}`} name="the engine" disabled=${!isAdmin.value}
      why="Administrators may have the engine looked at at once." onDone=${onDone} />`} />`;
  }
  if (batch.status === "validating" && position === null) return "Every line is looked at before anything is sent.";
  if (batch.status === "validating") return html`<p class="cut">It waits for room in ${deployment}: ${position === 1 ? "no job is before it" : `${number(position - 1)} ${position === 2 ? "job is" : "jobs are"} before it`}.</p><p class="cut">It starts when others have ended that hold enqueued tokens now.</p>`;
  if (batch.status === "finalizing") return "Everything that is to be sent has been sent. The files with the results are being written.";
  if (batch.status === "cancelling") return "Nothing more is sent. Requests in flight are stopped, and what has been answered is kept.";
  if (batch.status !== "in_progress") return ended(batch, done);
  if (isQuiet(quiet)) return html`<div class="no-answer"><p class="cut"><${Icon} name="warning" /><strong>No answer for ${duration(now.value - quiet)}.</strong> ${requests(out)} out for ${deployment}, of this job and others.</p>
    <p class="cut">The engine is slow, or silent. A call that takes too long is given up after a while, and its request sent again.</p></div>`;
  if (!done && !progress.requests_per_second) return html`<p class="cut">Nothing of it has been answered yet.</p><p class="cut">${out ? requests(out) : "No request is"} out for ${deployment}, of this job and others.</p>`;
  return html`<div class="row rates"><span>${rate(progress.requests_per_second)} requests/s</span><span>·</span><span>${rate(progress.tokens_per_second)} tokens/s</span><span>over the last minute</span></div>`;
}

/** Honest words: a range while the rate changes, and nothing while there is nothing to go by. @param {any} batch @param {any} progress */
function timeLeft(batch, progress) {
  if (batch.status === "validating") {
    if (progress.queue_position === null) return "Being checked";
    if (progress.waiting_on) return "Not in progress yet";
    return progress.queue_position === 1 ? "Next to start, when there is room" : `${number(progress.queue_position - 1)} ${progress.queue_position === 2 ? "job is" : "jobs are"} before this one`;
  }
  if (batch.status === "finalizing") return "Writing the files";
  if (batch.status === "cancelling") return "Stopping";
  if (batch.status !== "in_progress") return "";
  // What was quick until a moment ago says nothing about what stands still.
  if (progress.waiting_on) return "Time left: not known while it waits";
  if (progress.seconds_left === null || isQuiet(progress.quiet_since)) return "Time left: not known yet";
  const [low, high] = progress.seconds_left_range ?? [progress.seconds_left, progress.seconds_left];
  const from = about(low);
  const until = about(high);
  const [first, last] = [moment(low), moment(high)];
  return `About ${first === last ? last : `${first} to ${last}`}, in ${from === until ? until : `${from} to ${until}`}`;
}

/** When that is, by the clock here; with its day where that is another one. @param {number} seconds from now on */
function moment(seconds) {
  const at = now.value + seconds;
  const text = dateTime(at);
  return (text.slice(0, 10) === dateTime(now.value).slice(0, 10) ? text.slice(11, 16) : text.slice(5, 16));
}

/** @param {any} batch @param {number} done */
function ended(batch, done) {
  const at = batch.completed_at ?? batch.expired_at ?? batch.cancelled_at;
  if (!at || !batch.in_progress_at) return "";
  const seconds = Math.max(1, (batch.finalizing_at ?? batch.cancelling_at ?? at) - batch.in_progress_at);
  const { completed } = batch.request_counts;
  if (!done) return `Nothing was answered in ${duration(seconds)}`;
  return `${completed ? "Answered" : "Nothing was answered: all that was tried failed"} in ${duration(seconds)}, ${rate(done / seconds)} requests/s on average`;
}

/** @param {{batch: any, progress: any, filename: string|null|undefined}} properties */
export function Facts({ batch, progress, filename }) {
  const never = neverRan(batch.status, progress.counts);
  const facts = [
    ["Requests", number(progress.counts.total)],
    ["Completed", number(progress.counts.completed)],
    ["Failed", number(progress.counts.failed)],
    ...(never ? [[STATUSES[batch.status].text, html`<span title="These were never sent to an end, so they have not failed.">${number(never)}</span>`]] : []),
    ...(progress.answers_mended ? [["Mended", html`<span title="Answers that were not quite JSON, such as NaN or bytes that are not UTF-8, and were made valid.">${number(progress.answers_mended)} answers</span>`]] : []),
    ["Tokens in", html`${number(progress.input_tokens)}${progress.cached_tokens ? html` <span class="small muted">${number(progress.cached_tokens)} cached</span>` : ""}`],
    ["Tokens out", number(progress.output_tokens)],
    ["Cost", progress.cost === null ? html`<span class="muted">no price set</span>` : html`<span title=${progress.cost}>${money(progress.cost, progress.currency)}</span>`],
    ["Deployment", progress.deployment ? html`<${Named} name=${progress.deployment} />` : "–"],
    ["Model", progress.model ?? html`<span class="muted">after the first answer</span>`],
    ["Regions", progress.regions?.length ? progress.regions.join(", ") : "–"],
    ["Endpoint", html`<code><${Path} text=${batch.endpoint} /></code>`],
    ["Window", html`${batch.completion_window}, until <${Time} at=${batch.expires_at} />`],
    ...(progress.kept_until ? [["Kept until", html`<${Time} at=${progress.kept_until} />`]] : []),
    ...(batch.input_blob ? [
      ["Input blob", html`<span class="cut" title=${batch.input_blob}>${batch.input_blob}</span>`],
      ["Results", batch.output_blob ? html`<span class="cut" title=${batch.output_blob}>${batch.output_blob}</span>` : html`<span class="muted">${batch.errors?.data ? "here, as files" : "in your storage, after the end"}</span>`],
    ] : [["Input file", filename ? html`<a href=${to("/files", { file: batch.input_file_id })} title=${batch.input_file_id}>${filename}</a>` : html`<span class="muted">deleted </span><${Id} id=${batch.input_file_id} what="the input file" />`]]),
  ];
  return html`<${Panel} title="Details"><dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt class="cut" title=${name}>${name}</dt><dd>${value}</dd></div>`)}</dl><//>`;
}
