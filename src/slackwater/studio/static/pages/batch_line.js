// @ts-check
/** One line of a job: what was asked and what was answered, side by side; pictures shown, and the JSON behind it. */
import { call, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { Button, Copy, Failure, Skeleton } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { shorten } from "../app/parts/json.js";
import { useLoad } from "../app/polling.js";
import { html, useState } from "../app/ui.js";
import { answerOf, promptOf } from "./line_content.js";

/**
 * @param {{batch: any, customId: string, before: string|null, after: string|null, onGo: (id: string) => void, onClose: () => void}} properties
 */
export function Line({ batch, customId, before, after, onGo, onClose }) {
  const [raw, setRaw] = useState(false);
  const known = useLoad((signal) => call(`/batches/${part(batch.id)}/line`, { query: { custom_id: customId }, signal }), [batch.id, customId]);
  const line = known.data;
  const actions = html`<${Button} icon="left" disabled=${!before} onClick=${() => before && onGo(before)}>Previous<//>
    <${Button} disabled=${!after} onClick=${() => after && onGo(after)}>Next<//>
    <span class="push"></span><${Button} icon="code" aria-pressed=${raw} onClick=${() => setRaw(!raw)}>${raw ? "Show as text" : "Show JSON"}<//>`;
  return html`<${Dialog} title=${customId} wide onClose=${onClose} actions=${actions}>
    <${Failure} error=${known.error} title="This line cannot be shown." retry=${known.refresh} />
    <div class="sides">
      <${Side} title=${line?.line ? `Asked (line ${number(line.line)})` : "Asked"} object=${line?.request} raw=${raw} loading=${!line && !known.error}
        nothing="The input file has been deleted, so the question cannot be shown." parts=${promptOf} />
      <${Side} title="Answered" object=${line?.result} raw=${raw} loading=${!line && !known.error}
        nothing="There is no answer yet. It appears in the results when it has come." parts=${answerOf} />
    </div><//>`;
}

/** @param {{title: string, object: any, raw: boolean, loading: boolean, nothing: string, parts: (object: any) => any[]}} properties */
export function Side({ title, object, raw, loading, nothing, parts }) {
  const text = object ? JSON.stringify(object, null, 2) : "";
  return html`<section class="side-panel" aria-label=${title}><header class="row"><h3>${title}</h3>${object && html`<span class="push"></span><${Copy} text=${text} label=${`Copy the JSON of: ${title}`} />`}</header>
    ${loading && html`<${Skeleton} lines=${4} height=${24} />`}
    ${!loading && !object && html`<p class="muted">${nothing}</p>`}
    ${object && raw && html`<pre class="json" tabindex="0"><code>${shorten(text)}</code></pre>`}
    ${object && !raw && parts(object).map((each, index) => html`<${Part} key=${index} part=${each} />`)}</section>`;
}

/** @param {{part: import("./line_content.js").Part}} properties */
function Part({ part: each }) {
  return html`<div class=${`said ${each.kind === "error" ? "said-error" : ""}`}>${each.who && html`<div class="small muted who">${each.who}</div>`}
    ${each.kind === "image" && html`<img src=${each.text} alt="A picture of the request" />`}
    ${each.kind === "link" && html`<p>A picture at <a href=${each.text} target="_blank" rel="noopener noreferrer">${each.text}</a> <span class="muted small">(not loaded from here)</span></p>`}
    ${(each.kind === "text" || each.kind === "error") && html`<div class="said-text">${each.text}</div>`}
    ${each.kind === "json" && html`<pre class="json" tabindex="0"><code>${shorten(each.text)}</code></pre>`}</div>`;
}
