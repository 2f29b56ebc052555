// @ts-check
/** Pause, resume and try now, for jobs, deployments and engines; and why nothing of a job is sent, in words. */
import { call } from "../app/api.js";
import { Button, Field } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { Icon } from "../app/parts/icons.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { does, Named, nextTry, Since } from "./health.js";

/** Says a verb and what came of it; whatever goes wrong is said, too. @param {string} path @param {"resume"|"try"} verb @param {string} said @param {() => void} onDone */
async function say(path, verb, said, onDone) {
  try {
    await call(`${path}/${verb}`, { method: "POST" });
    toast(said);
  } catch (/** @type {any} */ problem) {
    toast(problem.message, "bad");
  }
  onDone();
}

/** @param {{path: string, name: string, disabled?: boolean, why?: string, onDone: () => void}} properties */
export function Resume({ path, name, disabled = false, why, onDone }) {
  const [busy, setBusy] = useState(false);
  const act = () => {
    setBusy(true);
    say(path, "resume", `${name} goes on.`, onDone).finally(() => setBusy(false));
  };
  return html`<${Button} kind="main" icon="run" busy=${busy} disabled=${disabled} why=${why} onClick=${act}>Resume<//>`;
}

/** @param {{path: string, name: string, disabled?: boolean, why?: string, onDone: () => void}} properties */
export function TryNow({ path, name, disabled = false, why, onDone }) {
  const [busy, setBusy] = useState(false);
  const act = () => {
    setBusy(true);
    say(path, "try", `${name} is looked at.`, onDone).finally(() => setBusy(false));
  };
  return html`<${Button} icon="retry" busy=${busy} disabled=${disabled} why=${why} label=${`Look at once whether ${name} works again`} onClick=${act}>Try now<//>`;
}

/**
 * Asks why, and pauses.
 * @param {{path: string, title: string, name: string, onDone: () => void, onClose: () => void, children?: any}} properties
 */
export function PauseDialog({ path, title, name, onDone, onClose, children }) {
  const [reason, setReason] = useState("");
  const act = async () => {
    await call(`${path}/pause`, { method: "POST", body: { reason } });
    toast(`${name} is paused.`);
    onDone();
  };
  return html`<${Confirm} title=${title} confirm="Pause" kind="main" act=${act} onClose=${onClose}>
    <p>Requests in flight end by themselves and are kept. Nothing new is sent until somebody resumes it, whatever restarts meanwhile.</p>
    ${children}
    <${Field} label="Reason" id="pause-reason" hint="Whoever looks at it reads this."><input id="pause-reason" type="text" maxlength="300" aria-describedby="pause-reason-hint"
      value=${reason} onInput=${(/** @type {any} */ event) => setReason(event.target.value)} /><//><//>`;
}

/** Who keeps a job waiting, by its deployment. @param {any} waiting @param {any} deployment its name, or a link */
function subject(waiting, deployment) {
  if (waiting.what === "batch") return waiting.health === "paused" ? "This job" : "What is left of this job";
  if (waiting.what === "disk") return "The disk of the service";
  if (waiting.what === "storage") return "Your storage";
  if (waiting.what === "content_filter") return html`The content filter of ${deployment}`;
  return waiting.what === "deployment" ? html`The deployment ${deployment}` : html`The engine of ${deployment}`;
}

/** What that does; where it is the job itself, the engine answers others meanwhile. @param {any} waiting @param {boolean} [brief] */
function holds({ what, health, reason }, brief = false) {
  const status = /^status ([3-5]\d\d)/.exec(reason ?? "")?.[1];
  if (what === "storage") return health === "refusing" ? "does not let the service in" : "does not answer";
  if (what === "disk") return /room/.test(reason ?? "") ? "has no room for answers" : "does not give all of the input";
  if (what === "engine" && health === "busy") return brief ? "is taken by others" : "is taken by others, and answers nobody";
  if (what !== "batch" || health === "paused") return does(health, reason, brief);
  const means = /** @type {Record<string, string>} */ ({ busy: "is told to wait", refusing: "is refused", blocked: "is told that the account is used up" })[health] ?? "fails";
  return `${means}${status && health !== "busy" ? ` (${status})` : ""}`;
}

/** What a job waits for, on one short line of a list. @param {any} waiting as `waiting_on` of the overview has it */
export function waitsFor(waiting) {
  if (waiting.what === "batch" && waiting.health === "paused") return "Paused";
  const who = /** @type {Record<string, string>} */ ({ batch: "The rest", deployment: "Deployment", content_filter: "Content filter", disk: "Disk", storage: "Storage" })[waiting.what] ?? "Engine";
  const again = nextTry(waiting.until).replace("next try", "try");
  return `${who} ${holds(waiting, true)}${again && `, ${again}`}`;
}

/**
 * Why nothing of a job is sent: what it waits for, and since and until when. Two lines, whatever it says, so that what stands
 * below never moves when it comes and goes; the whole reason is in its title.
 * @param {{waiting: any, deployment: string|null, verb?: any}} properties waiting: as `waiting_on` of the progress has it
 */
export function WaitingOn({ waiting, deployment, verb }) {
  const again = nextTry(waiting.until);
  const paused = waiting.health === "paused";
  return html`<div class="waiting-on"><div class="waiting-text" title=${waiting.reason ?? ""}>
    <p class="cut"><${Icon} name="warning" /><strong role="status">${subject(waiting, html`<${Named} name=${deployment ?? "its deployment"} />`)} ${holds(waiting)}</strong>${waiting.since !== null && html` since <${Since} at=${waiting.since} />`}${paused ? ", until somebody resumes it" : again && `; ${again}`}.</p>
    <p class="cut">Nothing is lost meanwhile${waiting.what === "batch" && !paused && ", and others are answered"}. ${waiting.who && `By ${waiting.who}. `}${waiting.reason ?? ""}</p></div>${verb}</div>`;
}
