// @ts-check
/** One job: where it stands, what it has cost, what went wrong, its answers as they arrive, and what can be done with it. */
import { address, call, part } from "../app/api.js";
import { Button, Empty, Failure, Heading, Id, Notice, Skeleton } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { isOpen, Status } from "../app/parts/status.js";
import { usePoll } from "../app/polling.js";
import { go, to } from "../app/router.js";
import { mayAct } from "../app/session.js";
import { toast } from "../app/toasts.js";
import { html, useEffect, useMemo, useRef, useState } from "../app/ui.js";
import { Code } from "./batch_code.js";
import { ErrorGroups, Refusal } from "./batch_errors.js";
import { Lines } from "./batch_lines.js";
import { Spreads, useHistory } from "./batch_picture.js";
import { Facts, Where } from "./batch_status.js";
import { downloadName, Tags, titleOf } from "./job_names.js";
import { PauseDialog, Resume } from "./pauses.js";

/** @param {{id: string}} properties */
export function Page({ id }) {
  const known = useBatch(id);
  const { batch, progress } = known.data ?? {};
  const history = useHistory(batch ?? null);
  const [asked, setAsked] = useState(/** @type {"cancel"|"pause"|"retry"|"code"|null} */ (null));
  // Errors come first, but not where they would push the results down while somebody reads those.
  const first = useRef(/** @type {string|null} */ (null));
  first.current ??= batch?.status ?? null;
  const endedBefore = !isOpen(first.current);
  const name = titleOf(batch?.metadata, known.data?.filename);
  const waits = Boolean(progress) && (progress.waiting_on !== null || (batch.status === "validating" && progress.queue_position !== null));
  useEffect(() => {
    if (batch) document.title = `${name} · ${waits ? "waiting" : batch.status.replace("_", " ")} · Slackwater Studio`;
  }, [name, batch?.status, waits]);
  const back = { href: to("/"), text: "Batch jobs" };
  if (known.error?.status === 404) {
    return html`<${Heading} title="Batch job" back=${back} /><${Empty} title="This job is not here" icon="search" actions=${html`<${Button} kind="main" href=${to("/")}>Show all jobs<//>`}>
      The id may be mistyped, or the job belongs to another resource.<//>`;
  }
  if (!batch) {
    return html`<${Heading} title="Batch job" back=${back} /><${Failure} error=${known.error?.passing ? null : known.error} retry=${known.refresh} />
      ${!known.error && html`<${Skeleton} lines=${3} height=${160} />`}`;
  }
  const close = () => setAsked(null);
  return html`
    <${Heading} title=${name} back=${back} actions=${html`<${Actions} batch=${batch} title=${name} progress=${progress} ask=${setAsked} onDone=${known.refresh} />`}><${Status} status=${batch.status} waits=${waits} counts=${progress.counts} /><//>
    <div class="sub"><${Id} id=${batch.id} what="this job" /><${Tags} metadata=${batch.metadata} /></div>
    <div class="stack">
      <${Where} batch=${batch} progress=${progress} history=${history} onDone=${known.refresh} />
      ${batch.status === "failed" && html`<${Refusal} batch=${batch} />`}
      ${batch.status !== "failed" && (batch.errors?.data ?? []).map((/** @type {any} */ each) => html`<${Notice} kind="warn"><p>${each.message}</p><//>`)}
      <${Facts} batch=${batch} progress=${progress} filename=${known.data?.filename} />
      ${batch.status !== "failed" && html`<${Spreads} history=${history} />`}
      ${endedBefore && html`<${ErrorGroups} batch=${batch} />`}
      ${batch.status !== "failed" && html`<${Lines} batch=${batch} progress=${progress} />`}
      ${!endedBefore && html`<${ErrorGroups} batch=${batch} />`}
    </div>
    ${asked === "code" && html`<${Code} batch=${batch} filename=${known.data?.filename} onClose=${close} />`}
    ${asked === "cancel" && html`<${Cancel} batch=${batch} onDone=${known.refresh} onClose=${close} />`}
    ${asked === "pause" && html`<${PauseDialog} path=${`/batches/${part(batch.id)}`} title="Pause this job?" name="The job" onDone=${known.refresh} onClose=${close}>
      <p>It can be cancelled meanwhile, and its completion window goes on.</p><//>`}
    ${asked === "retry" && html`<${Retry} batch=${batch} onClose=${close} />`}`;
}

/** The batch, its progress and the name of its file, until it has ended. @param {string} id */
function useBatch(id) {
  const [filename, setFilename] = useState(/** @type {{of: string, name: string|null}|null} */ (null));
  const known = usePoll(
    async (signal) => {
      const [batch, progress] = await Promise.all([
        call(`/batches/${part(id)}`, { signal }),
        call(`/batches/${part(id)}/progress`, { signal }),
      ]);
      return { batch, progress };
    },
    [id],
    { again: (data) => !data || isOpen(data.batch.status) },
  );
  const fileId = known.data?.batch.input_file_id;
  /** @type {string|undefined} */
  const blob = known.data?.batch.input_blob;
  useEffect(() => {
    // The file may be gone: the job then goes by its id.
    if (blob) setFilename({ of: blob, name: blob.split("/").at(-1) ?? blob });
    else if (fileId) call(`/files/${part(fileId)}`).then((file) => setFilename({ of: fileId, name: file.filename }), () => setFilename({ of: fileId, name: null }));
  }, [fileId, blob]);
  return { ...known, data: known.data && filename && { ...known.data, filename: filename.name } };
}

/** @param {{batch: any, title: string, progress: any, ask: (what: any) => void, onDone: () => void}} properties */
function Actions({ batch, title, progress, ask, onDone }) {
  const open = isOpen(batch.status);
  const counts = batch.request_counts;
  const again = !open && !batch.input_blob && (batch.status === "failed" || counts.completed < counts.total);
  // Ended before it was validated: there are no lines to retry, but the file is there.
  const unread = !open && !batch.input_blob && batch.status !== "failed" && counts.total === 0;
  const why = "Your role may only look. Ask for a key with the role user.";
  const sends = batch.status === "validating" || batch.status === "in_progress";
  const paused = progress.waiting_on?.what === "batch";
  const file = (/** @type {string} */ id, /** @type {"results"|"errors"} */ kind) => address(`/files/${part(id)}/content`, { filename: downloadName(title, kind) });
  return html`
    ${!batch.input_blob && html`<${Button} icon="code" onClick=${() => ask("code")}>Code<//>`}
    ${sends && !paused && html`<${Button} icon="clock" disabled=${!mayAct.value} why=${why} onClick=${() => ask("pause")}>Pause<//>`}
    ${sends && paused && html`<${Resume} path=${`/batches/${part(batch.id)}`} name="The job" disabled=${!mayAct.value} why=${why} onDone=${onDone} />`}
    ${open && html`<${Button} kind="bad" icon="stop" disabled=${!mayAct.value || batch.status === "cancelling"} why=${mayAct.value ? "It is being cancelled." : why} onClick=${() => ask("cancel")}>Cancel<//>`}
    ${again && html`<${Button} icon="retry" disabled=${!mayAct.value} why=${why} onClick=${() => ask("retry")}>${batch.status === "failed" ? "Try again" : "Retry failed"}<//>`}
    ${unread && html`<${Button} icon="plus" href=${to("/batches/new", { file: batch.input_file_id })}>Create it again<//>`}
    ${batch.error_file_id && html`<${Button} icon="download" href=${file(batch.error_file_id, "errors")} download>Errors<//>`}
    ${batch.output_file_id && html`<${Button} kind="main" icon="download" href=${file(batch.output_file_id, "results")} download>Answers<//>`}`;
}

/** @param {{batch: any, onDone: () => void, onClose: () => void}} properties */
function Cancel({ batch, onDone, onClose }) {
  const act = async () => {
    await call(`/batches/${part(batch.id)}/cancel`, { method: "POST" });
    toast("The job is being cancelled.");
    onDone();
  };
  return html`<${Confirm} title="Cancel this job?" confirm="Cancel the job" act=${act} onClose=${onClose}>
    <p>Requests in flight are stopped at once. What has been answered is kept, and can be downloaded and is charged. The rest can be sent later in a new job, with “Retry failed”.</p><//>`;
}

/** @param {{batch: any, onClose: () => void}} properties */
function Retry({ batch, onClose }) {
  const key = useMemo(() => `studio-${Date.now()}-${Math.random()}`, [batch.id]);
  const counts = batch.request_counts;
  const act = async () => {
    const made = await call(`/batches/${part(batch.id)}/retry`, { method: "POST", headers: { "Idempotency-Key": key } });
    toast("A new job is created.");
    go(to(`/batches/${made.id}`));
  };
  const whole = batch.status === "failed";
  return html`<${Confirm} title=${whole ? "Try this job again?" : "Retry what failed?"} confirm="Create the new job" kind="main" act=${act} onClose=${onClose}>
    ${whole
      ? html`<p>A new job is made of the same file. That helps where the reason has gone, such as a full quota; faults in the file itself will be found again.</p>`
      : html`<p>A new job is made of the ${(counts.total - counts.completed).toLocaleString("en")} lines that failed or were never sent. This job stays as it is.</p>`}
    ${whole && html`<${Notice}><p>To send a corrected file, create a new job instead.</p><div><${Button} href=${to("/batches/new")}>Create batch job<//></div><//>`}<//>`;
}
