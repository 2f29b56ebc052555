// @ts-check
/** The first lines of a file. Only its first 64 KiB are fetched, whatever its size. */
import { answer, part } from "../app/api.js";
import { bytes, number } from "../app/formats.js";
import { Empty, Failure, Skeleton } from "../app/parts/basics.js";
import { Json, shorten } from "../app/parts/json.js";
import { useLoad } from "../app/polling.js";
import { html } from "../app/ui.js";

const FETCHED = 64 * 1024;
const LINES = 20;

/** @param {{file: any}} properties */
export function Preview({ file }) {
  const head = useLoad((signal) => read(file, signal), [file.id]);
  if (head.error) return html`<${Failure} error=${head.error} title="The file cannot be shown." retry=${head.refresh} />`;
  if (!head.data) return html`<${Skeleton} lines=${5} height=${34} />`;
  const { lines, cut, whole } = head.data;
  if (!lines.length) return html`<${Empty} title="The file is empty" icon="files">It has no bytes, so there is nothing to show.<//>`;
  return html`<ol class="preview">${lines.map((line, index) => html`<li key=${index}><${Line} text=${line} number=${index + 1} open=${index === 0} cut=${cut && index === lines.length - 1} /></li>`)}</ol>
    <p class="small muted">${whole ? `This is the whole file, ${number(lines.length)} ${lines.length === 1 ? "line" : "lines"}.` : `The first ${lines.length === 1 ? "line" : `${number(lines.length)} lines`} of ${bytes(file.bytes)}. Download the file to see the rest.`}</p>`;
}

/** @param {any} file @param {AbortSignal} signal */
async function read(file, signal) {
  if (!file.bytes) return { lines: [], cut: false, whole: true };
  const response = await answer(`/files/${part(file.id)}/content`, { headers: { Accept: "*/*", Range: `bytes=0-${FETCHED - 1}` }, signal });
  const text = new TextDecoder().decode(await response.arrayBuffer()).replace(/^\ufeff/, "");
  const all = text.split(/\r?\n/);
  const complete = file.bytes <= FETCHED;
  // What follows the last line break is half a line, unless the file ends there; one that is longer than all we have is shown cut.
  const half = all.pop() ?? "";
  const keep = (complete && half) || !all.length;
  const lines = (keep ? [...all, half] : all).filter((line) => line.trim());
  return { lines: lines.slice(0, LINES), cut: !complete && keep, whole: complete && lines.length <= LINES };
}

/** @param {{text: string, number: number, open: boolean, cut: boolean}} properties */
function Line({ text, number: at, open, cut }) {
  const value = cut ? undefined : parsed(text);
  const name = typeof value?.custom_id === "string" ? value.custom_id : null;
  return html`<details open=${open}><summary><span class="muted nowrap">Line ${at}</span><code class="cut">${name ?? text.slice(0, 200)}</code>
      ${value === undefined && !cut && html`<span class="pill bad push">not JSON</span>`}</summary>
    ${value === undefined
      ? html`<pre class="json" tabindex="0" role="region" aria-label=${`Line ${at}`}><code>${shorten(text.slice(0, 20_000))}</code></pre>${cut && html`<p class="small muted">The line goes on; only its beginning is shown.</p>`}`
      : html`<${Json} value=${value} label=${`Line ${at}`} />`}</details>`;
}

/** @param {string} text */
function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
