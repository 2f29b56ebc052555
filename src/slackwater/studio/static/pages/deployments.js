// @ts-check
/** Deployments: what can be named as `model`, how full each is, and how those that answer for it are. For administrators: make, change, delete. */
import { call, part } from "../app/api.js";
import { number } from "../app/formats.js";
import { Button, Empty, Failure, Heading, Notice, Panel, Skeleton } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { SearchBox } from "../app/parts/search.js";
import { place, search, to } from "../app/router.js";
import { isAdmin, session } from "../app/session.js";
import { toast } from "../app/toasts.js";
import { html, useState } from "../app/ui.js";
import { Connections } from "./connections.js";
import { Card } from "./deployment_card.js";
import { DeploymentForm } from "./deployment_form.js";
import { useDeployments } from "./deployments_data.js";
import { Engines } from "./engines.js";
import { Trouble } from "./health.js";
import { PauseDialog } from "./pauses.js";

export function Page() {
  const { search: text = "", engine } = place.value.query;
  const admin = isAdmin.value;
  const list = useDeployments(admin);
  const [edited, setEdited] = useState(/** @type {any} */ (null));
  const [doomed, setDoomed] = useState(/** @type {any} */ (null));
  const [held, setHeld] = useState(/** @type {string|null} */ (null));
  const [adding, begin] = useState(/** @type {any} */ (engine === undefined ? null : { url: engine === "new" ? "" : engine }));
  const setAdding = (/** @type {any} */ what) => {
    begin(what);
    if (engine !== undefined) search({ engine: null });
  };
  const { known, regions } = list.data ?? {};
  const shown = known?.filter((/** @type {any} */ each) => `${each.name} ${each.status?.model ?? each.made?.properties.model.name}`.toLowerCase().includes(text.toLowerCase()));
  const create = html`<${Button} kind="main" icon="plus" disabled=${!admin} why="Only keys with the role admin may create deployments." onClick=${() => setEdited({ made: null })}>Create deployment<//>`;
  const others = (known ?? []).map((/** @type {any} */ each) => each.made).filter(Boolean);
  return html`
    <${Heading} title="Deployments" actions=${html`${admin && html`<${Button} icon="plus" onClick=${() => setAdding({})}>Add an engine<//>`}${create}`} />
    <${Trouble} deployments=${known?.map((/** @type {any} */ each) => each.status).filter(Boolean) ?? null} />
    <div class="filters"><${SearchBox} id="deployment-search" label="Search deployments" placeholder="Search name or model" text=${text} /></div>
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!known && !list.error && html`<${Skeleton} lines=${2} height=${300} />`}
    ${known?.length === 0 && html`<${Empty} title="No deployments yet" icon="deployments" actions=${admin && create}>
      A deployment is the name that users write into “model”: a model, the backends that answer for it, and a quota. ${admin
        ? "Add the engine that is to answer, with its URL; then make a deployment of one of its models."
        : "Ask an administrator of this resource to create one."}<//>`}
    ${known?.length > 0 && shown.length === 0 && html`<${Empty} title="No deployment fits" icon="search" actions=${html`<${Button} href=${to("/deployments")}>Show all deployments<//>`}>None has this text in its name or model.<//>`}
    <div class="stack">${shown?.map((/** @type {any} */ each) => html`<${Card} key=${each.name} each=${each} alone=${shown.length === 1} admin=${admin} onEdit=${() => setEdited(each)} onDelete=${() => setDoomed(each)} onPause=${() => setHeld(each.name)} onDone=${list.refresh} />`)}
      ${admin && known && html`<${Connections} adding=${adding} onAdding=${setAdding} onDone=${list.refresh} />`}
      ${known?.length > 0 && session.value?.operates && html`<${Engines} />`}
      ${regions && known.length > 0 && html`<${Regions} regions=${regions} />`}</div>
    ${edited && html`<${DeploymentForm} made=${edited.made} others=${others} onClose=${() => setEdited(null)} onDone=${list.refresh} />`}
    ${held && html`<${PauseDialog} path=${`/deployments/${part(held)}`} title=${`Pause ${held}?`} name=${held} onClose=${() => setHeld(null)} onDone=${list.refresh}>
      <p>It goes on taking jobs. Other deployments on the same engine are not touched.</p><//>`}
    ${doomed && html`<${Delete} each=${doomed} onClose=${() => setDoomed(null)} onDone=${list.refresh} />`}`;
}

/** @param {{each: import("./deployments_data.js").Known, onClose: () => void, onDone: () => void}} properties */
function Delete({ each, onClose, onDone }) {
  const open = each.status?.open_batches ?? 0;
  const act = async () => {
    try {
      const left = await call(`/deployments/${part(each.name)}`, { method: "DELETE", headers: { "If-Match": each.made.etag } });
      toast(left ? `${each.name} takes nothing new, and goes when its last job has ended.` : `${each.name} is deleted.`);
    } catch (/** @type {any} */ problem) {
      onDone();
      if (problem.status !== 412) throw problem;
      throw new Error("Changed by somebody else since you opened this. It was not deleted: close this, look at the deployment as it is now, and decide again.");
    }
    onDone();
  };
  return html`<${Confirm} title=${`Delete ${each.name}?`} confirm="Delete the deployment" act=${act} onClose=${onClose}>
    <p>From now on it takes nothing new: a job whose file names it fails with <code>model_not_found</code>.</p>
    ${open > 0
      ? html`<${Notice} kind="warn"><p><strong>${open === 1 ? "One job is" : `${number(open)} jobs are`} open.</strong> They go on to their ends; the deployment is shown as “Draining” until then, and goes by itself.</p><//>`
      : html`<${Notice}><p>No job is open, so it goes at once.</p><//>`}
    <p class="muted">Results, usage and cost stay. To stop open jobs, cancel them.</p><//>`;
}

/** @param {{regions: any}} properties */
function Regions({ regions }) {
  return html`<${Panel} title="Regions and models">
    ${regions.home && html`<p class="muted">Files and results stay in <strong>${regions.home}</strong>, whatever region answers.</p>`}
    <div class="table inner" role="region" tabindex="0" aria-label="Regions and models"><table class="cards regions">
      <thead><tr><th scope="col">Region</th><th scope="col">Data zone</th><th scope="col">Model</th><th scope="col">SKU</th><th scope="col">Deployments</th></tr></thead>
      <tbody>${regions.data.flatMap((/** @type {any} */ row) => row.models.map((/** @type {any} */ model, /** @type {number} */ index) => html`<tr key=${`${row.region} ${row.data_zone} ${model.model}`}>
        <td class="full">${index === 0 ? html`<strong>${row.region ?? "Not set"}</strong>` : html`<span class="unseen">${row.region ?? "Not set"}</span>`}</td>
        <td data-label="Data zone">${row.data_zone ?? "–"}</td><td data-label="Model">${model.model}</td><td data-label="SKU">${model.skus.join(", ")}</td>
        <td class="full" data-label="Deployments">${model.deployments.join(", ")}</td></tr>`))}</tbody></table></div><//>`;
}
