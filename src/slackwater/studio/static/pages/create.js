// @ts-check
/** Create a job: choose a file, see what the check finds, say how the job is to be, create it. */
import { call } from "../app/api.js";
import { Button, Failure, Heading, Notice, Panel } from "../app/parts/basics.js";
import { usePoll } from "../app/polling.js";
import { go, place, to } from "../app/router.js";
import { mayAct } from "../app/session.js";
import { toast } from "../app/toasts.js";
import { html, useEffect, useMemo, useState } from "../app/ui.js";
import { Report } from "./create_check.js";
import { DeploymentChoice } from "./create_deployment.js";
import { kindOf, Sentence } from "./health.js";
import { FileChoice } from "./create_file.js";
import { Options, optionsFault } from "./create_options.js";
import { useInput } from "./create_input.js";

const NOTHING_CHOSEN = { metadata: [], keepSeconds: 0 };

export function Page() {
  const input = useInput();
  const deployments = usePoll((signal) => call("/deployment_status", { signal }), []).data?.data ?? null;
  const [options, setOptions] = useState(/** @type {any} */ (NOTHING_CHOSEN));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  // One key per visit and file: pressing the button twice, or after an answer was lost, makes one job.
  const key = useMemo(() => crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`, [input.file?.id]);
  useEffect(() => {
    if (place.value.query.file) input.pick(place.value.query.file);
  }, []);

  const [leaving, setLeaving] = useState(false);
  const leave = async () => {
    setLeaving(true);
    await input.leave();
    go(to("/"));
  };

  const fault = optionsFault(options);
  const why = reason(input, fault);
  const create = async () => {
    setBusy(true);
    setError(null);
    try {
      const batch = await call("/batches", { method: "POST", body: order(input, options), headers: { "Idempotency-Key": key } });
      input.keep();
      toast("The job is created.");
      go(to(`/batches/${batch.id}`), { replace: true });
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };

  return html`
    <${Heading} title="Create batch job" back=${{ href: to("/"), text: "Batch jobs" }} />
    ${!mayAct.value && html`<${Notice} kind="warn"><p>Your role may look, but not create. Sign in with a key that has the role user.</p><//>`}
    <div class="create stack">
      <${Panel} title="1. Batch data"><${FileChoice} input=${input} /><//>
      <${Panel} title="2. Check"><${Report} input=${input} /><${DeploymentChoice} input=${input} deployments=${deployments} /><//>
      <${Panel} title="3. Job"><${Options} options=${options} onChange=${setOptions} fault=${fault} /><//>
      <${Failure} error=${error} title="The job was not created." />
      <div class="create-end"><span class="muted small" id="create-why">${why ?? html`<${Ready} input=${input} deployments=${deployments} />`}</span>
        <${Button} busy=${leaving} disabled=${busy} onClick=${leave}>Not now<//>
        <${Button} kind="main" busy=${busy} disabled=${Boolean(why)} why=${why ?? undefined} aria-describedby="create-why" onClick=${create}>Create<//></div>
    </div>`;
}

/** What becomes of the job once it is created. @param {{input: any, deployments: any[]|null}} properties */
function Ready({ input, deployments }) {
  const status = deployments?.find((each) => each.name === input.report?.deployment);
  if (!status || ["serving", "ready", "degraded"].includes(kindOf(status))) return "Everything is ready.";
  return html`The file is ready, and the job will wait: <${Sentence} status=${status} />.`;
}

/** Why there can be no job yet; null where there can. @param {any} input @param {any} fault */
function reason(input, fault) {
  if (!mayAct.value) return "Your role may not create jobs.";
  if (input.stage === "uploading") return "Wait for the upload.";
  if (input.stage === "checking") return "Wait for the check.";
  if (!input.file) return "Choose a file first.";
  if (input.report && !input.report.valid) return "The file has faults; see the check.";
  if (input.report?.quota && !input.report.quota.fits && !input.report.quota.waits) return "The deployment has no room for this file now.";
  if (!input.report && !input.unchecked) return "The file is not checked yet.";
  return fault ? "Look at the metadata." : null;
}

/** @param {any} input @param {any} options */
function order(input, options) {
  const pairs = options.metadata.filter((/** @type {any} */ pair) => pair.key.trim());
  return {
    input_file_id: input.file.id,
    endpoint: input.report?.endpoint ?? "/v1/chat/completions",
    completion_window: "24h",
    ...(pairs.length && { metadata: Object.fromEntries(pairs.map((/** @type {any} */ pair) => [pair.key.trim(), pair.value])) }),
    ...(options.keepSeconds && { output_expires_after: { anchor: "created_at", seconds: options.keepSeconds } }),
  };
}
