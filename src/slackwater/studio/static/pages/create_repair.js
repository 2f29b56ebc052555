// @ts-check
/** What can be put right in a copy of the chosen file: a button, and what becomes of the file. */
import { answer, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { Button, Failure, Notice } from "../app/parts/basics.js";
import { html, useState } from "../app/ui.js";
import { asLines, copyName, repairable, said, withIds } from "./repair.js";

/** Whether lines lack a custom_id. @param {any} report */
export const lacksIds = (report) => Boolean(report?.errors.some((/** @type {any} */ fault) => fault.param === "custom_id" && fault.code !== "duplicate_custom_id"));

/** The bytes of the file: those of this computer, where it came from here. @param {any} input @returns {Promise<Blob>} */
export const contentOf = async (input) => input.local ?? (await (await answer(`/files/${part(input.file.id)}/content`)).blob());

/** @param {{input: any}} properties */
export function Repair({ input }) {
  const [lines, setLines] = useState(/** @type {number|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const { fault, name } = input;
  if (fault && !repairable(fault)) return html`<${Table} input=${input} />`;
  if (!fault && !lacksIds(input.report)) return null;
  const repair = async () => {
    setError(null);
    setLines(0);
    try {
      const original = await contentOf(input);
      await input.send(await (fault ? asLines : withIds)(original, setLines), copyName(name));
    } catch (problem) {
      setError(problem);
    }
    setLines(null);
  };
  return html`<${Notice} kind=${fault ? "warn" : "info"}>
    <p>${fault ? html`<strong>${name} ${said(fault)}.</strong> A batch job takes UTF-8 text with one JSON object on each line.` : html`<strong>Some lines have no custom_id.</strong> Answers are found by it.`}
      ${" "}Studio can put that right in a copy${fault ? "" : ", with “request-” and the number of the line"}, upload it as <code class="breaks">${copyName(name)}</code>, and check it. ${name} stays as it is.</p>
    <div class="row"><${Button} kind="main" busy=${lines !== null} onClick=${repair}>${lines === null ? "Repair a copy" : `${number(lines)} lines`}<//>
      ${fault && !input.file && html`<${Button} disabled=${lines !== null} onClick=${() => input.send(input.local, name, true)}>Upload it as it is<//>`}</div>
    <${Failure} error=${error} title="No copy was made." /><//>`;
}

/** A table needs words around its cells, and only its owner knows which. @param {{input: any}} properties */
function Table({ input }) {
  const quoted = /\s/.test(input.name) ? `"${input.name}"` : input.name;
  return html`<${Notice} kind="warn"><p><strong>${input.name} ${said("table")}.</strong> Make a request of each of its rows, with a template that names its columns, and choose the file that comes of it:</p>
    <pre tabindex="0"><code>slackwater prepare ${quoted} -m DEPLOYMENT --template 'Is this friendly? {text}' -o requests.jsonl</code></pre>
    ${!input.file && html`<div><${Button} onClick=${() => input.send(input.local, input.name, true)}>Upload it as it is<//></div>`}<//>`;
}
