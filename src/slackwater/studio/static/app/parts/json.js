// @ts-check
/** JSON as people read it: indented, and without the runs that only fill the window, such as pictures in base64. */
import { number } from "../formats.js";
import { html } from "../ui.js";

/** @param {string} text */
export const shorten = (text) => text.replace(/[^\s"]{400,}/g, (run) => `${run.slice(0, 120)}… (${number(run.length)} characters)`);

/** @param {{value: any, label: string}} properties */
export const Json = ({ value, label }) => html`<pre class="json" tabindex="0" role="region" aria-label=${label}><code>${shorten(JSON.stringify(value, null, 2) ?? "")}</code></pre>`;
