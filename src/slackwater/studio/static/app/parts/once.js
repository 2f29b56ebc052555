// @ts-check
/** What is shown once and never again: a key, a secret. Whoever has not copied it is asked before it goes. */
import { html, useRef, useState } from "../ui.js";
import { Button, Notice } from "./basics.js";
import { Dialog } from "./dialog.js";

/**
 * A text to be taken along. Where the browser gives pages no clipboard (that is so on plain http), the text is selected and
 * copied in the old way.
 * @param {{label: string, value: string, id: string, onCopied?: () => void}} properties
 */
export function Secret({ label, value, id, onCopied }) {
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  const [result, setResult] = useState("");
  const copy = async () => {
    let copied = true;
    try {
      await navigator.clipboard.writeText(value);
    } catch {
      field.current?.select();
      copied = document.execCommand("copy");
    }
    setResult(copied ? "Copied" : "Press Ctrl+C to copy it");
    onCopied?.();
  };
  return html`<div class="field"><label for=${id}>${label}</label>
    <div class="secret"><input id=${id} ref=${field} class="mono" readonly value=${value} spellcheck=${false} autocomplete="off"
        onFocus=${(/** @type {any} */ event) => event.target.select()} onCopy=${() => onCopied?.()} />
      <${Button} icon=${result === "Copied" ? "check" : "copy"} aria-label=${`Copy: ${label}`} onClick=${copy}>${result || "Copy"}<//></div>
    <span class="unseen" role="status">${result}</span></div>`;
}

/**
 * A dialog with such texts.
 * @param {{title: string, secrets: {label: string, value: string}[], onClose: () => void, wide?: boolean, children?: any}} properties
 */
export function ShownOnce({ title, secrets, onClose, wide = false, children }) {
  const [taken, setTaken] = useState(false);
  const [warned, setWarned] = useState(false);
  const close = () => (taken || warned ? onClose() : setWarned(true));
  const actions = html`<span class="push"></span><${Button} kind=${warned && !taken ? "bad" : "main"} onClick=${close}>${warned && !taken ? "Close without a copy" : "Done"}<//>`;
  return html`<${Dialog} title=${title} wide=${wide} onClose=${close} actions=${actions}><div class="stack">
    <p>Copy ${secrets.length > 1 ? "them" : "it"} now, into your password manager or the settings of your program. ${secrets.length > 1 ? "They are" : "It is"} shown this once, and by no later call.</p>
    ${secrets.map((each, index) => html`<${Secret} key=${each.label} id=${`secret-${index}`} label=${each.label} value=${each.value} onCopied=${() => setTaken(true)} />`)}
    <div role="alert">${warned && !taken && html`<${Notice} kind="warn"><p>You have not copied anything yet. Once this is closed, the only way is to make a new one.</p><//>`}</div>
    ${children}
  </div><//>`;
}
