// @ts-check
/**
 * The input file of a job to be: on its way, at the service, checked. A file that was sent from here and then replaced, because
 * it had faults, is deleted again, so that trying does not fill the resource.
 */
import { call, part, upload } from "../app/api.js";
import { useRef, useState } from "../app/ui.js";

const NONE = { stage: "choose", file: null, local: null, report: null, error: null, progress: null, name: "", unchecked: false };

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
  const discard = () => {
    // What cannot be deleted now is seen, and can be deleted, on the page of files.
    if (mine.current) call(`/files/${part(mine.current)}`, { method: "DELETE" }).catch(() => {});
    mine.current = null;
  };
  const check = async (/** @type {any} */ file, /** @type {any} */ more) => {
    const signal = begin();
    setState({ ...NONE, ...more, stage: "checking", file, name: file.filename });
    try {
      const report = await call(`/files/${part(file.id)}/validate`, { method: "POST", body: {}, signal });
      setState({ ...NONE, ...more, stage: "checked", file, name: file.filename, report });
    } catch (error) {
      if (!signal.aborted) setState({ ...NONE, ...more, stage: "checked", file, name: file.filename, error });
    }
  };
  const send = async (/** @type {Blob} */ chosen, /** @type {string} */ name) => {
    discard();
    const signal = begin();
    const blob = await withoutMark(chosen);
    if (signal.aborted) return;
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
    /** Sends a file from this computer, then checks it. */
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
    /** The file belongs to a job now. */
    keep: () => (mine.current = null),
  };
}

/** Without the byte order mark that editors on Windows put before a text; a service takes no file that has one. @param {Blob} blob */
async function withoutMark(blob) {
  const [a, b, c] = new Uint8Array(await blob.slice(0, 3).arrayBuffer());
  return a === 0xef && b === 0xbb && c === 0xbf ? blob.slice(3, blob.size, blob.type) : blob;
}
