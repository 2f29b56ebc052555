// @ts-check
/** Pause, resume and try now, for jobs and deployments; and why nothing is sent, in words. */
import { call } from "../app/api.js";
import { Button, Field, Notice, Time } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { Icon } from "../app/parts/icons.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";

/** @type {Record<string, string>} */
const THINGS = { batch: "This job", deployment: "Its deployment", engine: "The engine" };
/** @type {Record<string, string>} */
const HEALTH = { refusing: "refuses the service’s calls", blocked: "is blocked: the account may not go on", down: "is down", paused: "is paused" };

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

/** @param {{path: string, name: string, onDone: () => void}} properties */
export function TryNow({ path, name, onDone }) {
  const [busy, setBusy] = useState(false);
  const act = () => {
    setBusy(true);
    say(path, "try", `${name} is looked at.`, onDone).finally(() => setBusy(false));
  };
  return html`<${Button} icon="retry" busy=${busy} label="Look at once whether its backends work again" onClick=${act}>Try now<//>`;
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

/** What a job waits for, in one sentence, without its reason. @param {any} waiting as `waiting_on` of the progress has it */
export const waitsFor = (waiting) => `${waiting.what === "backend" ? `The backend ${waiting.backend ?? ""}`.trim() : THINGS[waiting.what]} ${HEALTH[waiting.health]}`;

/**
 * Why nothing of a job is sent: what it waits for, and since and until when. Two lines, whatever it says, so that what stands
 * below never moves when it comes and goes; the whole reason is in its title.
 * @param {{waiting: any}} properties as `waiting_on` of the progress has it
 */
export function WaitingOn({ waiting }) {
  return html`<div class="waiting-on" role="status" title=${waiting.reason ?? ""}>
    <p class="cut"><${Icon} name="warning" /><strong>${waitsFor(waiting)}.</strong> ${waiting.reason ?? ""}</p>
    <p class="cut">${waiting.who && html`By ${waiting.who}, `}${waiting.since !== null && html`since <${Time} at=${waiting.since} />`}${waiting.until !== null
      ? html`; looked at again at <${Time} at=${waiting.until} />`
      : waiting.health === "paused" ? ", until it is resumed" : ""}. Nothing is lost meanwhile.</p></div>`;
}

/** A pause of a deployment. @param {{pause: any}} properties */
export function Paused({ pause }) {
  return html`<${Notice} kind="warn"><p><strong>It is paused.</strong> ${pause.reason ?? ""}</p>
    <p class="small muted">${pause.who && html`By ${pause.who}, `}since <${Time} at=${pause.since} />. It takes jobs, and sends nothing of them until it is resumed.</p><//>`;
}
