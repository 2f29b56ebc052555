// @ts-check
/** The second step of Create: what the check of the file has found, the wrong place in each wrong line marked. */
import { duration, money, number, rate, short } from "../app/formats.js";
import { hintForFile } from "../app/hints.js";
import { Button, Failure, Notice } from "../app/parts/basics.js";
import { html, useState } from "../app/ui.js";
import { Repair } from "./create_repair.js";

const SHOWN = 10;

/** @param {{input: any}} properties */
export function Report({ input }) {
  const { stage, report, error, file } = input;
  if (stage === "checking") {
    return html`<div class="row" role="status"><span class="spinner"></span><span>Checking every line, as the job itself would…</span>
      <span class="push"></span><${Button} kind="quiet" onClick=${input.skip} disabled=${!file}>Skip the check<//></div>`;
  }
  if (input.unchecked) {
    return html`<${Notice}><p>Not checked. The service checks every job before anything is sent; a file with faults then ends as a failed job that
      lists them.</p><div><${Button} onClick=${input.recheck}>Check now<//></div><//>`;
  }
  if (file && error) return html`<${Failure} error=${error} title="The file could not be checked." retry=${input.recheck}><div><${Button} onClick=${input.skip}>Go on without<//></div><//>`;
  if (!report) return html`<p class="muted">Every line is looked at before anything is sent, and each fault is shown with its line.</p>`;
  return html`<div role="status">${report.valid
      ? html`<${Notice} kind="good"><p><strong>No faults in ${number(report.requests)} ${report.requests === 1 ? "request" : "requests"}.</strong></p><//>`
      : html`<${Notice} kind="bad"><p><strong>${number(report.error_count)} ${report.error_count === 1 ? "fault" : "faults"}.</strong> Nothing has been sent. Correct the file and choose it again; it will be checked afresh.</p><//>`}</div>
    <${Repair} key=${file?.id} input=${input} />
    <${Facts} report=${report} />
    <${Quota} quota=${report.quota} tokens=${report.tokens} deployment=${report.deployment} />
    <${Faults} errors=${report.errors} count=${report.error_count} />`;
}

/** @param {{report: any}} properties */
function Facts({ report }) {
  const facts = [
    ["Requests", number(report.requests)],
    ["Input tokens", report.valid ? number(report.tokens) : "–"],
    ["Deployment", report.deployment ?? "–"],
    ["Endpoint", report.endpoint ?? "–"],
    ["Input will cost about", report.estimated_cost ? money(report.estimated_cost.input, report.estimated_cost.currency) : "not known: no price is set"],
    ["Answers will cost", "not known before they are there"],
    ["It will take at most about", report.estimated_time ? html`<${Takes} time=${report.estimated_time} />` : "not known: too little was answered lately"],
  ];
  return html`<dl class="facts">${facts.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** At the pace of late; what is before it counts whole. @param {{time: any}} properties */
function Takes({ time }) {
  const pace = `At ${rate(time.tokens_per_second)} input tokens a second, which its deployment was last seen to finish; with more to do it may finish more.`;
  return html`<span title=${pace}>${duration(Math.max(1, time.seconds))}</span>${time.tokens_ahead > 0 && html`<div class="small muted">and up to ${duration(Math.max(1, time.seconds_ahead))} for ${short(time.tokens_ahead)} tokens of other jobs, if they go first</div>`}`;
}

/** @param {{quota: any, tokens: number, deployment: string}} properties */
function Quota({ quota, tokens, deployment }) {
  if (!quota || quota.limit === null || quota.fits) return null;
  const taken = `${deployment} may hold ${number(quota.limit)} enqueued tokens and holds ${number(quota.held)} now; this file has ${number(tokens)}.`;
  if (tokens > quota.limit) return html`<${Notice} kind="bad"><p>${taken} It can never fit: cut the file with <code>slackwater split</code>, or ask an administrator for a larger quota.</p><//>`;
  if (quota.waits) return html`<${Notice}><p>${taken} The job will wait, and start by itself when there is room.</p><//>`;
  return html`<${Notice} kind="warn"><p>${taken} It would be refused now. Wait until other jobs have ended and check again, or send a smaller file.</p><//>`;
}

/** Faults with their lines. @param {{errors: any[], count: number}} properties */
export function Faults({ errors, count }) {
  const [all, setAll] = useState(false);
  if (!errors.length) return null;
  const shown = all ? errors : errors.slice(0, SHOWN);
  return html`<ol class="faults">${shown.map((error, index) => html`<li key=${index}><${Fault} error=${error} /></li>`)}</ol>
    ${errors.length > shown.length && html`<div><${Button} onClick=${() => setAll(true)}>Show all ${number(errors.length)}<//></div>`}
    ${all && count > errors.length && html`<p class="muted small">These are the first ${number(errors.length)} of ${number(count)}.</p>`}`;
}

/** @param {{error: any}} properties */
function Fault({ error }) {
  const hint = hintForFile(error.code);
  return html`<div class="fault-head"><strong class="nowrap">${error.line === null ? "Whole file" : `Line ${number(error.line)}`}</strong><code class="small muted">${error.code}</code></div>
    <p>${error.message}</p>
    ${error.excerpt && html`<${Excerpt} excerpt=${error.excerpt} />`}
    ${hint && html`<p class="small muted">${hint}</p>`}`;
}

/** A piece of the line. Positions count characters as Python does, so the text is taken apart by code points. @param {{excerpt: {text: string, start: number, end: number}}} properties */
function Excerpt({ excerpt }) {
  const characters = [...excerpt.text];
  const { start, end } = excerpt;
  const marked = characters.slice(start, end).join("");
  return html`<pre class="excerpt" tabindex="0" aria-label="The text of the line"><code>${characters.slice(0, start).join("")}<mark>${marked || "\u2423"}</mark>${characters.slice(end).join("")}</code></pre>`;
}
