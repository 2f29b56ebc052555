// @ts-check
/**
 * The input file of a job to be: on its way, at the service, checked. A file that was sent from here and then replaced, because
 * it had faults, is deleted again, so that trying does not fill the resource.
 */
import { answer, call, part, upload } from "../app/api.js";
import { useRef, useState } from "../app/ui.js";
import { findUses } from "./files_data.js";
import { faultOf } from "./repair.js";

const PEEK = "bytes=0-65535";
const NONE = { stage: "choose", fault: null, file: null, local: null, report: null, error: null, progress: null, name: "", unchecked: false };

export function useInput() {
  const [state, setState] = useState(/** @type {any} */ (NONE));
  const aborter = useRef(new AbortController());
  /** The file that was uploaded on this page and is not used yet. @type {{current: string|null}} */
  const mine = useRef(null);

  const begin = () => {
    aborter.current.abort();
    aborter.current = new AbortController();
    return aborter.current.signal;
  };
  const discard = async () => {
    const id = mine.current;
    mine.current = null;
    if (!id) return;
    try {
      // A job may have been made of it all the same: at another place, or with an answer that was lost.
      if ((await findUses({ id, purpose: "batch" })).length === 0) await call(`/files/${part(id)}`, { method: "DELETE" });
    } catch {
      // What cannot be deleted now is seen, and can be deleted, on the page of files.
    }
  };
  const check = async (/** @type {any} */ file, /** @type {any} */ more) => {
    const signal = begin();
    setState({ ...NONE, ...more, stage: "checking", file, name: file.filename });
    try {
      const report = await call(`/files/${part(file.id)}/validate`, { method: "POST", body: {}, signal });
      const fault = report.valid ? null : await faultOf(more.local ?? (await headOf(file, signal)), file.filename);
      setState({ ...NONE, ...more, stage: "checked", file, name: file.filename, report, fault });
    } catch (error) {
      if (!signal.aborted) setState({ ...NONE, ...more, stage: "checked", file, name: file.filename, error });
    }
  };
  const send = async (/** @type {Blob} */ blob, /** @type {string} */ name, asItIs = false) => {
    discard();
    const signal = begin();
    const fault = asItIs ? null : await faultOf(blob, name);
    if (signal.aborted) return;
    if (fault) return setState({ ...NONE, fault, local: blob, name });
    setState({ ...NONE, stage: "uploading", name, local: blob, progress: { sent: 0, total: blob.size } });
    try {
      const onProgress = (/** @type {any} */ progress) => !signal.aborted && setState((/** @type {any} */ before) => ({ ...before, progress }));
      const file = await upload(blob, name, onProgress, signal);
      mine.current = file.id;
      await check(file, { local: blob });
    } catch (error) {
      setState({ ...NONE, error: signal.aborted ? null : error, name, local: signal.aborted ? null : blob });
    }
  };

  return {
    ...state,
    /** Sends a file from this computer, then checks it; one that is wrong as a whole only where it is to be sent as it is. */
    send,
    /** Takes one that has been uploaded before, then checks it. @param {string} id */
    async pick(id) {
      const signal = begin();
      setState({ ...NONE, stage: "checking" });
      try {
        await check(await call(`/files/${part(id)}`, { signal }), {});
      } catch (error) {
        if (!signal.aborted) setState({ ...NONE, error });
      }
    },
    /** Checks again. */
    recheck: () => check(state.file, { local: state.local }),
    /** Goes on without a check; the service checks every job anyway. */
    skip() {
      begin();
      setState((/** @type {any} */ before) => ({ ...before, stage: "checked", unchecked: true, error: null }));
    },
    /** Gives up what is on its way, or what has been chosen. */
    clear() {
      begin();
      discard();
      setState(NONE);
    },
    /** Gives it up for good, and returns when nothing of it is left. */
    async leave() {
      begin();
      await discard();
    },
    /** The file belongs to a job now. */
    keep: () => (mine.current = null),
  };
}

/** The first bytes of a file that is there. @param {any} file @param {AbortSignal} signal */
const headOf = async (file, signal) => (await answer(`/files/${part(file.id)}/content`, { headers: { Range: PEEK }, signal })).blob();
