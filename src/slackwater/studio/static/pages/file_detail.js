// @ts-check
/** One file, in a dialog: what it is, the jobs it belongs to, its first lines, and what the check finds in it. */
import { API, call, part } from "../app/api.js";
import { bytes, money, number } from "../app/formats.js";
import { Button, Empty, Failure, Id, Notice, Skeleton, Time } from "../app/parts/basics.js";
import { Dialog } from "../app/parts/dialog.js";
import { Status } from "../app/parts/status.js";
import { useLoad } from "../app/polling.js";
import { to } from "../app/router.js";
import { mayAct } from "../app/session.js";
import { html, useState } from "../app/ui.js";
import { Faults } from "./create_check.js";
import { Preview } from "./file_preview.js";
import { FileState, KINDS } from "./file_kinds.js";
import { findUses, kindOf } from "./files_data.js";

/** @param {{id: string, onClose: () => void, onDelete: (file: any) => void}} properties */
export function FileDialog({ id, onClose, onDelete }) {
  const known = useLoad((signal) => call(`/files/${part(id)}`, { signal }), [id]);
  const file = known.data;
  if (known.error?.status === 404) {
    return html`<${Dialog} title="File" onClose=${onClose}><${Empty} title="This file is not here" icon="search" actions=${html`<${Button} onClick=${onClose}>Show all files<//>`}>
      It has been deleted or has expired, the id may be mistyped, or it belongs to another resource.<//><//>`;
  }
  if (!file) return html`<${Dialog} title="File" wide onClose=${onClose}><${Failure} error=${known.error} retry=${known.refresh} />${!known.error && html`<${Skeleton} lines=${8} height=${34} />`}<//>`;
  return html`<${Loaded} key=${file.id} file=${file} onClose=${onClose} onDelete=${onDelete} />`;
}

/** @param {{file: any, onClose: () => void, onDelete: (file: any) => void}} properties */
function Loaded({ file, onClose, onDelete }) {
  const check = useCheck(file);
  const kind = kindOf(file);
  const ready = file.status === "processed";
  const why = mayAct.value ? "The file is not ready." : "Your role may only look. Ask for a key with the role user.";
  const actions = html`
    <${Button} kind="bad" disabled=${!mayAct.value} why=${why} onClick=${() => onDelete(file)}>Delete<//><span class="push"></span>
    ${ready && html`<${Button} icon="download" href=${`${API}/files/${part(file.id)}/content`} download>Download<//>`}
    ${kind === "input" && html`<${Button} icon="check" busy=${check.busy} disabled=${!ready || !mayAct.value} why=${why} onClick=${check.run}>${check.busy ? "Checking…" : "Check"}<//>
      <${Button} kind="main" icon="plus" href=${to("/batches/new", { file: file.id })} disabled=${!ready || !mayAct.value} why=${why}>Create batch job<//>`}`;
  return html`<${Dialog} title=${file.filename} wide onClose=${onClose} actions=${actions}><div class="stack">
    <dl class="facts"><div><dt>Kind</dt><dd>${KINDS[kind].text}${kind === "other" && html` <code class="small">${file.purpose}</code>`}</dd></div>
      <div><dt>Size</dt><dd title=${`${number(file.bytes)} bytes`}>${bytes(file.bytes)}</dd></div>
      <div><dt>Created</dt><dd><${Time} at=${file.created_at} /></dd></div>
      <div><dt>Expires</dt><dd>${file.expires_at ? html`<${Time} at=${file.expires_at} />` : "when it is deleted"}</dd></div>
      <div><dt>Id</dt><dd><${Id} id=${file.id} what="this file" /></dd></div></dl>
    ${!ready && html`<${FileState} file=${file} words />`}
    <div aria-live="polite">${check.view}</div>
    <section class="stack tight" aria-label="Used by"><h3>${kind === "input" ? "Jobs of this file" : "Made by"}</h3><${Uses} file=${file} /></section>
    ${ready && html`<section class="stack tight" aria-label="First lines"><h3>First lines</h3><${Preview} file=${file} /></section>`}
  </div><//>`;
}

/** @param {{file: any}} properties */
function Uses({ file }) {
  const known = useLoad((signal) => findUses(file, signal), [file.id]);
  if (known.error) return html`<${Failure} error=${known.error} retry=${known.refresh} />`;
  if (!known.data) return html`<${Skeleton} height=${24} />`;
  if (!known.data.length) return html`<p class="muted">${file.purpose === "batch" ? "No job has used it yet." : "No job that is known here."}</p>`;
  return html`<ul class="uses">${known.data.map((use) => html`<li key=${use.id} class="row"><a class="mono cut" href=${to(`/batches/${use.id}`)}>${use.id}</a>${use.status && html`<${Status} status=${use.status} />`}</li>`)}</ul>
    ${known.data.length === 100 && html`<p class="small muted">These are the newest 100.</p>`}`;
}

/** The service's own check of an input file. @param {any} file */
function useCheck(file) {
  const [state, setState] = useState(/** @type {any} */ ({ busy: false, report: null, error: null }));
  const run = async () => {
    setState({ busy: true, report: null, error: null });
    try {
      setState({ busy: false, error: null, report: await call(`/files/${part(file.id)}/validate`, { method: "POST", body: {} }) });
    } catch (error) {
      setState({ busy: false, report: null, error });
    }
  };
  const { report, error } = state;
  const view = html`<${Failure} error=${error} title="The file could not be checked." retry=${run} />${report && html`<${Found} report=${report} />`}`;
  return { ...state, run, view: (report || error) && view };
}

/** @param {{report: any}} properties */
function Found({ report }) {
  const one = report.requests === 1;
  if (!report.valid) {
    const word = report.error_count === 1 ? "fault" : "faults";
    return html`<div class="stack"><${Notice} kind="bad"><p><strong>${number(report.error_count)} ${word}.</strong> A job of this file would fail. Correct the file and upload it again.</p><//>
      <${Faults} errors=${report.errors} count=${report.error_count} /></div>`;
  }
  const cost = report.estimated_cost ? `, about ${money(report.estimated_cost.input, report.estimated_cost.currency)} for the input` : "";
  return html`<${Notice} kind="good"><p><strong>No faults in ${number(report.requests)} ${one ? "request" : "requests"}.</strong> ${number(report.tokens)} input tokens${
    report.deployment ? ` for ${report.deployment}` : ""}${cost}.</p><//>`;
}
