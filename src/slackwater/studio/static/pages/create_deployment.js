// @ts-check
/**
 * Which deployment answers. The file says it, in the `model` of every line; where it names one that is not there, or somebody
 * wants another, Studio can write another name into a copy and send that.
 */
import { answer, call, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { Button, Failure, Field } from "../app/parts/basics.js";
import { useLoad } from "../app/polling.js";
import { html, useState } from "../app/ui.js";
import { withModel } from "./rewrite.js";

/** @param {{input: any}} properties */
export function DeploymentChoice({ input }) {
  const known = useLoad((signal) => call("/deployment_status", { signal }), []);
  const [chosen, setChosen] = useState("");
  const [lines, setLines] = useState(/** @type {number|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const { report, file } = input;
  if (!report || !file || !known.data) return null;
  const named = report.deployment ?? report.model;
  const others = known.data.data.filter((/** @type {any} */ each) => each.accepts && each.name !== named);
  const missing = report.errors.some((/** @type {any} */ fault) => ["model_not_found", "model_mismatch", "mismatched_model"].includes(fault.code));
  if (!others.length) return null;
  const wanted = chosen || (missing ? others[0].name : "");
  const rewrite = async () => {
    setError(null);
    setLines(0);
    try {
      const original = input.local ?? (await (await answer(`/files/${part(file.id)}/content`)).blob());
      input.send(await withModel(original, wanted, setLines), file.filename);
    } catch (problem) {
      setError(problem);
    }
    setLines(null);
  };
  const hint = missing
    ? "Studio can write this name into “model” in every line of a copy, upload the copy, and check it."
    : "The file names its deployment in every line. Choose another one, and Studio writes its name into a copy and uploads that.";
  return html`<${Field} label=${missing ? "Use this deployment instead" : "Send it to another deployment"} id="other-deployment" hint=${hint}>
    <div class="row other"><select id="other-deployment" value=${wanted} onChange=${(/** @type {any} */ event) => setChosen(event.target.value)} aria-describedby="other-deployment-hint">
      ${!missing && html`<option value="">As the file says: ${named}</option>`}
      ${others.map((/** @type {any} */ each) => html`<option key=${each.name} value=${each.name}>${each.name}</option>`)}</select>
    <${Button} kind=${missing ? "main" : "plain"} disabled=${!wanted} busy=${lines !== null} onClick=${rewrite}>${lines === null ? "Change and check" : `${number(lines)} lines changed`}<//></div>
    <${Failure} error=${error} /><//>`;
}
