// @ts-check
/** Servers: who shares the ledger, servers and workers, what each has in hand, and what is wrong with them together. */
import { call } from "../app/api.js";
import { duration, number, rate } from "../app/formats.js";
import { Button, Empty, Failure, Heading, Id, Panel, Skeleton, Time } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { usePoll } from "../app/polling.js";
import { to } from "../app/router.js";
import { session } from "../app/session.js";
import { html } from "../app/ui.js";

/** @type {Record<string, {text: string, icon: string, tone: string, means: string}>} */
const STATES = {
  ok: { text: "Working", icon: "check", tone: "good", means: "It has just said that it lives." },
  late: { text: "Late", icon: "clock", tone: "warn", means: "It has not said lately that it lives. After 15 seconds it is taken for dead, and others go on with what it has in hand." },
  leaving: { text: "Leaving", icon: "clock", tone: "warn", means: "It is being stopped: it takes nothing new, and ends when its requests have come back." },
  overdue: { text: "Silent", icon: "warning", tone: "bad", means: "It has not said for 15 seconds that it lives. Somebody is about to free what it has in hand." },
  dead: { text: "Dead", icon: "cross", tone: "bad", means: "It was taken for dead. What it had in hand is about to be free." },
};
/** @type {Record<string, {text: string, means: string}>} */
const KINDS = {
  server: { text: "Server", means: "Answers calls, and sends to engines." },
  api: { text: "API", means: "Answers calls, and leaves the sending to others." },
  worker: { text: "Worker", means: "Sends to engines, and answers nobody." },
};
const WATCHES = "It sees first when another one has died, and frees what that one had in hand.";
/** @type {Record<string, [string, string, string]>} what it does, to one thing and to several */
const DUTIES = {
  validate: ["validates", "file", "files"],
  finalize: ["writes the results of", "job", "jobs"],
  import: ["fetches", "file", "files"],
  deliver: ["tells", "webhook", "webhooks"],
};

export function Page() {
  if (!session.value?.operates) {
    return html`<${Heading} title="Servers" /><${Empty} title="Only whoever runs the service sees its servers" icon="servers" actions=${html`<${Button} kind="main" href=${to("/")}>Go to the batch jobs<//>`}>
      They work for every resource. Sign in with a key of the service to see them.<//>`;
  }
  return html`<${Servers} />`;
}

function Servers() {
  const list = usePoll((signal) => call("/members", { signal }), []);
  const found = list.data;
  return html`
    <${Heading} title="Servers" />
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!found && !list.error && html`<${Skeleton} lines=${4} height=${76} />`}
    ${found && html`<${Together} found=${found} />
      ${found.data.length === 0
        ? html`<${Empty} title="Nobody works with the ledger" icon="servers">A server or a worker that starts is shown here.<//>`
        : html`<div class="table" role="region" tabindex="0" aria-label="Servers and workers"><table class="cards servers">
          <thead><tr><th scope="col">Server</th><th scope="col">State</th><th scope="col">Kind</th><th scope="col">Version</th><th scope="col">In hand</th><th scope="col" class="number">Tokens/s</th></tr></thead>
          <tbody>${found.data.map((/** @type {any} */ member) => html`<${Member} key=${member.id} member=${member} />`)}</tbody></table></div>`}`}
  `;
}

/** What is wrong with them together, or that nothing is. @param {{found: any}} properties */
function Together({ found }) {
  const { warnings, shared, data } = found;
  const versions = new Set(data.map((/** @type {any} */ member) => member.version));
  return html`<${Panel} title="Together" class="together">
    <ul class="stack tight">${warnings.map((/** @type {any} */ each, /** @type {number} */ place) => html`<li key=${`${each.kind} ${place}`} class=${each.grave ? "grave" : ""}>
      <${Icon} name="warning" /><div><strong>${sentence(each.message)}</strong> <span class="muted">${sentence(each.fix)}</span></div></li>`)}
    ${warnings.length === 0 && html`<li class="well"><${Icon} name="check" /><div>${shared
      ? `${count(data.length, "member", "members")} of ${versions.size === 1 ? "one version" : "several versions"}. Nothing is known to be wrong.`
      : "This server has its ledger to itself. Several servers and workers can share one that is on PostgreSQL."}</div></li>`}</ul><//>`;
}

/** @param {{member: any}} properties */
function Member({ member }) {
  const state = STATES[member.state] ?? { text: member.state, icon: "info", tone: "plain", means: "" };
  const kind = KINDS[member.kind] ?? { text: member.kind, means: "" };
  return html`<tr>
    <td class="full"><strong class="cut">${member.host}</strong>${(member.here || member.watching) && html` <span class="small muted" title=${member.watching ? WATCHES : undefined}>${[member.here && "answers you", member.watching && "watches"].filter(Boolean).join(", ")}</span>`}
      <div class="small"><${Id} id=${member.id} what=${`the server on ${member.host}`} /></div>
      <div class="small muted">Since <${Time} at=${member.started_at} relative /></div></td>
    <td class="full"><span class=${`pill ${state.tone}`} title=${state.means}><${Icon} name=${state.icon} />${state.text}</span>
      <div class=${`small server-lag ${member.state === "ok" || member.state === "leaving" ? "muted" : "late"}`}>Heard of ${duration(member.lag_seconds)} ago</div></td>
    <td data-label="Kind"><span title=${kind.means}>${kind.text}</span><div class="small muted cut" title=${sendsFor(member).whole}>${sendsFor(member).brief}</div></td>
    <td data-label="Version">${member.version}</td>
    <td class="full" data-label="In hand"><div class="server-hand">${inHand(member).map((line) => html`<div class="small cut" title=${line}>${line}</div>`)}</div></td>
    <td class="number" data-label="Tokens/s">${member.tokens_per_second === null ? "–" : rate(member.tokens_per_second)}</td></tr>`;
}

/** @param {any} member @returns {{brief: string, whole: string}} */
function sendsFor(member) {
  if (member.kind === "api") return { brief: "sends nothing", whole: "It leaves the sending to others." };
  if (member.sends_for === null) return { brief: "for all deployments", whole: "It sends for all deployments." };
  const names = member.sends_for.join(", ");
  return member.sends_for.length === 1 ? { brief: `for ${names}`, whole: names } : { brief: `for ${count(member.sends_for.length, "deployment", "deployments")}`, whole: names || "It sends for none." };
}

/** A line for each kind of thing. @param {any} member @returns {string[]} */
function inHand(member) {
  const shards = member.shards.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.shards, 0);
  const slots = member.engines.reduce((/** @type {number} */ sum, /** @type {any} */ each) => sum + each.slots, 0);
  const names = member.shards.map((/** @type {any} */ each) => `${each.deployment} ${number(each.shards)}`).join(", ");
  const duties = member.duties.map((/** @type {any} */ each) => {
    const [does, one, many] = DUTIES[each.duty] ?? [each.duty, "thing", "things"];
    return `${does} ${count(each.count, one, many)}`;
  });
  const lines = [
    shards ? `${count(shards, "shard", "shards")}: ${names}` : "",
    sentence(duties.join(", "), ""),
    member.requests_out || slots ? `${count(member.requests_out ?? 0, "request", "requests")} out, ${count(slots, "slot", "slots")} at ${count(member.engines.length, "engine", "engines")}` : "",
  ].filter(Boolean);
  return lines.length ? lines : [member.requests_out === null ? "Not known: it has said nothing lately" : "Nothing at the moment"];
}

/** @param {number} many @param {string} one @param {string} several */
const count = (many, one, several) => `${number(many)} ${many === 1 ? one : several}`;

/** @param {string} text */
const sentence = (text, end = ".") => (text ? `${text[0].toUpperCase()}${text.slice(1)}${/[.:]$/.test(text) ? "" : end}` : "");
