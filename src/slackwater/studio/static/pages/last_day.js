// @ts-check
/** What became of the engines of a deployment over the last day: what online users felt beside what batches got. Asked for when it is opened. */
import { call, part } from "../app/api.js";
import { Failure, Skeleton } from "../app/parts/basics.js";
import { usePoll } from "../app/polling.js";
import { html, useState } from "../app/ui.js";
import { EnginePicture } from "./engine_picture.js";

/** How far back, in seconds, and in which steps. */
const SPANS = [
  { words: "Last hour", seconds: 3600, step: 60 },
  { words: "Last 6 hours", seconds: 6 * 3600, step: 60 },
  { words: "Last day", seconds: 86400, step: 300 },
];

/** @param {{name: string, looked: boolean, open: boolean}} properties looked: whether somebody sees its online users; open: whether it is, before anybody has said so */
export function LastDay({ name, looked, open }) {
  const [said, setSaid] = useState(/** @type {boolean|null} */ (null));
  const shown = said ?? open;
  // What the browser does by itself is undone by the next drawing: the state is ours.
  const toggle = (/** @type {Event} */ event) => {
    event.preventDefault();
    setSaid(!shown);
  };
  return html`<details class="last-day" open=${shown}><summary onClick=${toggle}>${looked ? "Online latency and batch throughput" : "Throughput, requests out and states"}, over the last day</summary>
    ${shown && html`<${Engines} name=${name} />`}</details>`;
}

/** @param {{name: string}} properties */
function Engines({ name }) {
  const [chosen, choose] = useState(SPANS.length - 1);
  const span = SPANS[chosen];
  const history = usePoll(
    (signal) => {
      const to = Math.floor(Date.now() / 1000);
      return call(`/deployment_status/${part(name)}/history?from=${to - span.seconds}&to=${to}&step=${span.step}`, { signal }).then((found) => ({ ...found, from: to - span.seconds, to }));
    },
    [name, chosen],
    { seconds: 60 },
  );
  return html`<label class="row span small">Shown <select aria-label=${`What is shown of ${name}`} value=${String(chosen)} onChange=${(/** @type {any} */ event) => choose(Number(event.target.value))}>
      ${SPANS.map((each, index) => html`<option key=${each.words} value=${String(index)}>${each.words}</option>`)}</select></label>
    <${Failure} error=${history.error?.passing ? null : history.error} retry=${history.refresh} />
    ${!history.data && !history.error && html`<${Skeleton} lines=${1} height=${330} />`}
    ${history.data?.engines.map((/** @type {any} */ each) => html`<${EnginePicture} key=${each.engine} engine=${each.engine} points=${each.data} from=${history.data.from} to=${history.data.to} step=${history.data.step} />`)}`;
}
