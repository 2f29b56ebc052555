// @ts-check
/**
 * Which deployment answers. The file says it, in the `model` of every line; where it names one that is not there, or somebody
 * wants another, Studio can write another name into a copy and send that.
 */
import { number } from "../app/formats.js";
import { Button, Failure, Field } from "../app/parts/basics.js";
import { html, useRef, useState } from "../app/ui.js";
import { does, kindOf, KINDS } from "./health.js";
import { contentOf, lacksIds } from "./create_repair.js";
import { copyName } from "./repair.js";
import { withModel } from "./rewrite.js";

/** The best one first: it is the one that is proposed. */
const ORDER = ["serving", "ready", "degraded", "waiting", "quiet", "paused", "blocked", "refusing", "down"];

/** Deployments that take jobs, the healthiest first. @param {any[]} deployments as `deployment_status` has them @returns {any[]} */
export const healthiest = (deployments) => deployments.filter((each) => each.accepts).sort((one, other) => ORDER.indexOf(kindOf(one)) - ORDER.indexOf(kindOf(other)));

/** A deployment in a list of choices: its name, and how it is. @param {any} each */
function choice(each) {
  const [backend] = each.backends;
  const what = !each.pause && backend && ["down", "refusing", "blocked"].includes(each.health) ? `, ${does(backend.health, backend.reason)}` : "";
  return `${each.name} · ${KINDS[kindOf(each)].text}${what === ", is down" ? "" : what}`;
}

/** @param {{input: any, deployments: any[]|null}} properties deployments: as `deployment_status` has them now */
export function DeploymentChoice({ input, deployments }) {
  // The order is that of the first look: what somebody is about to choose must not move.
  const order = useRef(/** @type {string[]|null} */ (null));
  if (deployments) order.current ??= healthiest(deployments).map((each) => each.name);
  const [chosen, setChosen] = useState("");
  const [lines, setLines] = useState(/** @type {number|null} */ (null));
  const [error, setError] = useState(/** @type {any} */ (null));
  const { report, file } = input;
  // One thing after the other: lines are to be lines first, and to have an id.
  if (!report || !file || !deployments || !order.current || input.fault || lacksIds(report)) return null;
  const named = report.deployment ?? report.model;
  const place = (/** @type {any} */ each) => (order.current?.includes(each.name) ? order.current.indexOf(each.name) : deployments.length);
  const others = deployments.filter((each) => each.accepts && each.name !== named).sort((one, other) => place(one) - place(other));
  const here = deployments.find((each) => each.name === named);
  const missing = report.errors.some((/** @type {any} */ fault) => ["model_not_found", "model_mismatch", "mismatched_model"].includes(fault.code) || (fault.param === "body.model" && fault.line !== null));
  if (!others.length) return null;
  const wanted = chosen || (missing ? others[0].name : "");
  const rewrite = async () => {
    setError(null);
    setLines(0);
    try {
      input.send(await withModel(await contentOf(input), wanted, setLines), missing ? copyName(file.filename) : file.filename);
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
      ${!missing && html`<option value="">As the file says: ${here ? choice(here) : named}</option>`}
      ${others.map((each) => html`<option key=${each.name} value=${each.name}>${choice(each)}</option>`)}</select>
    <${Button} kind=${missing ? "main" : "plain"} disabled=${!wanted} busy=${lines !== null} onClick=${rewrite}>${lines === null ? "Change and check" : `${number(lines)} lines changed`}<//></div>
    <${Failure} error=${error} /><//>`;
}
