// @ts-check
/** A piece of code with a button that copies it; the button works inside dialogs, too, where toasts cannot be seen. */
import { html, useState } from "../ui.js";
import { Button } from "./basics.js";

/** @param {{text: string, label: string}} properties */
export function CodeBlock({ text, label }) {
  const [result, setResult] = useState("");
  const copy = () => navigator.clipboard?.writeText(text).then(() => setResult("Copied"), () => setResult("Select it and copy by hand"));
  return html`<div class="code-block">
    <div class="row"><span class="small muted">${label}</span><span class="push"></span>
      ${navigator.clipboard && html`<${Button} kind="quiet" icon=${result === "Copied" ? "check" : "copy"} aria-label=${`Copy: ${label}`} onClick=${copy}>${result || "Copy"}<//>`}
      <span class="unseen" role="status">${result}</span></div>
    <pre class="json" tabindex="0" role="region" aria-label=${label}><code>${text}</code></pre></div>`;
}
