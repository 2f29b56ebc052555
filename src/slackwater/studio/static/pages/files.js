// @ts-check
/** Files: what was uploaded and what jobs have made; to be looked into, checked, made a job of, and deleted. */
import { API, part } from "../app/api.js";
import { ahead, bytes, dateTime, number } from "../app/formats.js";
import { moveFocus, useKeys } from "../app/keyboard.js";
import { Button, Empty, Failure, Heading, Skeleton, Time } from "../app/parts/basics.js";
import { SearchBox } from "../app/parts/search.js";
import { Status } from "../app/parts/status.js";
import { now } from "../app/polling.js";
import { place, search, to } from "../app/router.js";
import { mayAct, session } from "../app/session.js";
import { html, useEffect, useState } from "../app/ui.js";
import { FileDialog } from "./file_detail.js";
import { DeleteFile, ImportFile } from "./file_dialogs.js";
import { FileState, KindPill } from "./file_kinds.js";
import { DeleteFiles, SelectionBar, useSelection } from "./file_selection.js";
import { DropAnywhere, UploadButton, Uploads, useUploads } from "./file_upload.js";
import { kindOf, knownUses, PAGE, useFiles } from "./files_data.js";

const FILTERS = [["", "All"], ["input", "Input"], ["output", "Output"], ["errors", "Errors"]];
const LOOKS_ONLY = "Your role may look, but not upload or delete. Ask for a key with the role user.";

export function Page() {
  const { kind = "", search: text = "", file: shown } = place.value.query;
  const [wanted, setWanted] = useState(PAGE);
  const [doomed, setDoomed] = useState(/** @type {any} */ (null));
  const [importing, setImporting] = useState(false);
  useEffect(() => setWanted(PAGE), [kind, text]);
  const list = useFiles({ kind, search: text }, wanted);
  const uploads = useUploads(list.refresh);
  const { files, uses, allJobs, more, given_up: givenUp, looked } = list.data ?? {};
  const selection = useSelection(files);
  const [several, setSeveral] = useState(false);
  const rows = "a.job-link";
  useKeys({ ArrowDown: () => moveFocus(rows, 1), ArrowUp: () => moveFocus(rows, -1), j: () => moveFocus(rows, 1), k: () => moveFocus(rows, -1) });
  const open = (/** @type {string|null} */ id) => search({ file: id });
  const actions = html`${session.value?.imports && html`<${Button} disabled=${!mayAct.value} why=${LOOKS_ONLY} onClick=${() => setImporting(true)}>Import from URL<//>`}
    <${UploadButton} onFiles=${uploads.add} disabled=${!mayAct.value} why=${LOOKS_ONLY} />`;
  return html`
    <${Heading} title="Files" actions=${actions} />
    <div class="filters"><${SearchBox} id="file-search" label="Search files" placeholder="Search name or id" text=${text} /><${KindFilter} chosen=${kind} /></div>
    <${Uploads} uploads=${uploads} />
    <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
    ${!files && !list.error && html`<${Skeleton} lines=${8} height=${44} />`}
    ${files?.length === 0 && (kind || text ? html`<${NothingFound} />` : html`<${NothingYet} uploads=${uploads} />`)}
    ${files?.length > 0 && html`<${SelectionBar} selection=${selection} onDelete=${() => setSeveral(true)} /><${Table} files=${files} selection=${selection} uses=${uses} allJobs=${allJobs} onOpen=${open} onDelete=${setDoomed} />`}
    ${givenUp && html`<p class="small muted more">Only the newest ${number(looked)} files were looked at.</p>`}
    ${more && html`<div class="more"><${Button} busy=${list.loading} onClick=${() => setWanted(wanted + PAGE)}>Load more<//></div>`}
    <${DropAnywhere} onFiles=${uploads.add} enabled=${mayAct.value} />
    ${shown && !doomed && html`<${FileDialog} id=${shown} onClose=${() => open(null)} onDelete=${setDoomed} />`}
    ${doomed && html`<${DeleteFile} file=${doomed} onClose=${() => setDoomed(null)} onDone=${() => (open(null), list.refresh())} />`}
    ${several && html`<${DeleteFiles} files=${selection.chosen} onClose=${() => setSeveral(false)} onDone=${() => (selection.none(), list.refresh())} />`}
    ${importing && html`<${ImportFile} onClose=${() => setImporting(false)} onDone=${list.refresh} />`}`;
}

/** @param {{chosen: string}} properties */
const KindFilter = ({ chosen }) => html`<div class="tabs" role="group" aria-label="Kind">${FILTERS.map(
  ([name, text]) => html`<button key=${name} type="button" class="tab" aria-pressed=${chosen === name} onClick=${() => search({ kind: name || null })}>${text}</button>`,
)}</div>`;

/** @param {{files: any[], selection: ReturnType<typeof useSelection>, uses: any, allJobs: boolean, onOpen: (id: string) => void, onDelete: (file: any) => void}} properties */
function Table({ files, selection, uses, allJobs, onOpen, onDelete }) {
  return html`<div class="table"><table class="cards files">
    <thead><tr><th scope="col" class="pick"><input type="checkbox" aria-label="Choose all files that are shown" checked=${selection.chosen.length === files.length} disabled=${!mayAct.value} onChange=${selection.all} /></th><th scope="col">File</th><th scope="col">Kind</th><th scope="col" class="number">Size</th><th scope="col" class="number">Created</th>
      <th scope="col" class="number">Expires</th><th scope="col">Used by</th><th scope="col"><span class="unseen">Actions</span></th></tr></thead>
    <tbody>${files.map((file) => html`<${Row} key=${file.id} file=${file} selection=${selection} uses=${knownUses(file, uses)} allJobs=${allJobs} onOpen=${onOpen} onDelete=${onDelete} />`)}</tbody></table></div>`;
}

/** @param {{file: any, selection: ReturnType<typeof useSelection>, uses: import("./files_data.js").Use[], allJobs: boolean, onOpen: (id: string) => void, onDelete: (file: any) => void}} properties */
function Row({ file, selection, uses, allJobs, onOpen, onDelete }) {
  const kind = kindOf(file);
  const ready = file.status === "processed";
  const show = (/** @type {Event} */ event) => {
    event.preventDefault();
    onOpen(file.id);
  };
  return html`<tr>
    <td class="pick"><input type="checkbox" aria-label=${`Choose ${file.filename}`} checked=${selection.has(file.id)} disabled=${!mayAct.value} onChange=${() => selection.toggle(file.id)} /></td>
    <td class="full"><div class="job"><a class="job-link cut" href=${to("/files", { ...place.value.query, file: file.id })} onClick=${show}>${file.filename}</a><code class="small muted cut">${file.id}</code></div></td>
    <td class="file-kind">${ready ? html`<${KindPill} kind=${kind} purpose=${file.purpose} />` : html`<${FileState} file=${file} />`}</td>
    <td class="number" data-label="Size" title=${ready ? `${number(file.bytes)} bytes` : undefined}>${ready ? bytes(file.bytes) : html`<span class="muted">–</span>`}</td>
    <td class="number" data-label="Created"><${Time} at=${file.created_at} relative /></td>
    <td class="number" data-label="Expires">${file.expires_at ? html`<span title=${dateTime(file.expires_at)}>${ahead(file.expires_at, now.value)}</span>` : html`<span class="muted">never</span>`}</td>
    <td data-label="Used by"><${UsedBy} uses=${uses} sure=${allJobs || kind !== "input"} onLook=${() => onOpen(file.id)} name=${file.filename} /></td>
    <td class="full"><div class="row tight actions">
      ${kind === "input" && ready && html`<${Button} kind="quiet" icon="plus" href=${to("/batches/new", { file: file.id })} disabled=${!mayAct.value} why=${LOOKS_ONLY} label=${`Create a batch job of ${file.filename}`} />`}
      ${ready && html`<${Button} kind="quiet" icon="download" href=${`${API}/files/${part(file.id)}/content`} download label=${`Download ${file.filename}`} />`}
      <${Button} kind="quiet" icon="trash" disabled=${!mayAct.value} why=${LOOKS_ONLY} label=${`Delete ${file.filename}`} onClick=${() => onDelete(file)} /></div></td>
  </tr>`;
}

/** @param {{uses: import("./files_data.js").Use[], sure: boolean, name: string, onLook: () => void}} properties */
function UsedBy({ uses, sure, name, onLook }) {
  if (!uses.length && sure) return html`<span class="muted">no job</span>`;
  if (!uses.length) return html`<button type="button" class="link" aria-label=${`Look for the jobs of ${name}`} onClick=${onLook}>look</button>`;
  const [newest] = uses;
  if (uses.length > 1) return html`<button type="button" class="link" aria-label=${`Show the jobs of ${name}`} onClick=${onLook}>${number(uses.length)} jobs</button>`;
  return html`<div class="used-by"><a class="mono small cut" title=${newest.id} href=${to(`/batches/${newest.id}`)}>${newest.id}</a>${newest.status && html`<${Status} status=${newest.status} />`}</div>`;
}

/** @param {{uploads: ReturnType<typeof useUploads>}} properties */
function NothingYet({ uploads }) {
  const actions = html`<${UploadButton} onFiles=${uploads.add} disabled=${!mayAct.value} why=${LOOKS_ONLY} />`;
  return html`<${Empty} title="No files yet" icon="files" actions=${actions}>A <code>.jsonl</code> file holds the questions of a batch job, one request per line. Upload one here or drop it
    anywhere on this page; the answers of jobs appear here as files, too. No file at hand? <a href=${to("/batches/new")}>Create a job of the example</a>.<//>`;
}

const NothingFound = () => html`<${Empty} title="No file fits" icon="search" actions=${html`<${Button} href=${to("/files")}>Show all files<//>`}>No file of this kind has this text in its name or id.<//>`;
