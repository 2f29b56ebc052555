// @ts-check
/** The third step of Create: the window, metadata, and how long results are kept. */
import { Button, Field } from "../app/parts/basics.js";
import { html } from "../app/ui.js";

const PAIRS_MAX = 16;
const KEEP = [
  [0, "until somebody deletes them"],
  [86400, "1 day"],
  [7 * 86400, "7 days"],
  [30 * 86400, "30 days"],
];

/** What is wrong with the options; null where nothing is. @param {any} options @returns {string|null} */
export function optionsFault(options) {
  const keys = options.metadata.map((/** @type {any} */ pair) => pair.key.trim());
  if (options.metadata.some((/** @type {any} */ pair) => pair.value && !pair.key.trim())) return "A value needs a name beside it.";
  const named = keys.filter(Boolean);
  return new Set(named).size < named.length ? "Each name can be used once." : null;
}

/** @param {{options: any, onChange: (options: any) => void, fault: string|null}} properties */
export function Options({ options, onChange, fault }) {
  const { metadata, keepSeconds } = options;
  const change = (/** @type {number} */ index, /** @type {any} */ changes) =>
    onChange({ ...options, metadata: metadata.map((/** @type {any} */ pair, /** @type {number} */ at) => (at === index ? { ...pair, ...changes } : pair)) });
  const remove = (/** @type {number} */ index) => onChange({ ...options, metadata: metadata.filter((/** @type {any} */ _, /** @type {number} */ at) => at !== index) });
  return html`<div class="two">
      <${Field} label="Completion window" id="window" hint="When the service aims to be done. Slower jobs run on; you can cancel at any time.">
        <select id="window" aria-describedby="window-hint"><option>24h</option></select><//>
      <${Field} label="Keep the results" id="keep" hint="The files with answers and errors.">
        <select id="keep" aria-describedby="keep-hint" value=${keepSeconds} onChange=${(/** @type {any} */ event) => onChange({ ...options, keepSeconds: Number(event.target.value) })}>
          ${KEEP.map(([seconds, text]) => html`<option key=${seconds} value=${seconds}>${text}</option>`)}</select><//>
    </div>
    <fieldset class="metadata"><legend>Metadata <span class="muted small">optional; to find the job again</span></legend>
      ${metadata.map((/** @type {any} */ pair, /** @type {number} */ index) => html`<div class="pair" key=${index}>
        <input aria-label=${`Name ${index + 1}`} placeholder="Name, such as team" maxlength="64" value=${pair.key} onInput=${(/** @type {any} */ event) => change(index, { key: event.target.value })} />
        <input aria-label=${`Value ${index + 1}`} placeholder="Value" maxlength="512" value=${pair.value} onInput=${(/** @type {any} */ event) => change(index, { value: event.target.value })} />
        <${Button} kind="quiet" icon="close" label=${`Remove pair ${index + 1}`} onClick=${() => remove(index)} /></div>`)}
      ${fault && html`<p class="fault small" role="alert">${fault}</p>`}
      <div><${Button} icon="plus" disabled=${metadata.length >= PAIRS_MAX} why="There can be 16 pairs." onClick=${() => onChange({ ...options, metadata: [...metadata, { key: "", value: "" }] })}>Add metadata<//></div>
    </fieldset>`;
}
