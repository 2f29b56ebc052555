// @ts-check
/** What a look at an engine has found, in the words of `slackwater doctor`. */
import { number } from "../app/formats.js";
import { Icon } from "../app/parts/icons.js";
import { html } from "../app/ui.js";

const LOOKS = { ok: ["good", "check", "Good"], note: ["info", "info", "Note"], warning: ["warn", "warning", "Warning"], fault: ["bad", "warning", "Fault"] };

/** @param {{look: any, busy: boolean}} properties */
export function Checks({ look, busy }) {
  if (busy) return html`<div class="row" role="status"><span class="spinner"></span><span>Asking it for its models, and for one token…</span></div>`;
  if (!look) return null;
  return html`<div role="status" aria-label="What was found"><ul class="checks">${look.checks.map((/** @type {any} */ each, /** @type {number} */ index) => html`<${Check} key=${index} each=${each} />`)}
    ${look.models.length > 0 && html`<li class="small muted">Models: ${look.models.slice(0, 8).join(", ")}${look.models.length + look.models_left_out > 8 && ` and ${number(look.models.length + look.models_left_out - 8)} more`}</li>`}</ul></div>`;
}

/** @param {{each: any}} properties */
function Check({ each }) {
  const [kind, icon, word] = LOOKS[/** @type {keyof typeof LOOKS} */ (each.level)];
  return html`<li class=${`check-found ${kind}`}><${Icon} name=${icon} /><div><span class="unseen">${word}: </span>${sentence(each.message)}${each.fix && html` <span class="muted">To do: ${each.fix}.</span>`}</div></li>`;
}

/** @param {string} text */
const sentence = (text) => `${/^(it|a|no) /.test(text) ? text.charAt(0).toUpperCase() : text.charAt(0)}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;
