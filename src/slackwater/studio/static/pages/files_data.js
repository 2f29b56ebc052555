// @ts-check
/**
 * The files of a resource, newest first, and which jobs they belong to. The service does not search files, so a search reads
 * the list in large pages until enough has been found; it says so where it stopped before the end.
 */
import { call } from "../app/api.js";
import { usePoll } from "../app/polling.js";

export const PAGE = 100;
const SEARCHED_AT_ONCE = 1000;
const SEARCHED_MAX = 20_000;
const JOBS = 100;
/** What a result file is called, in either family. */
const RESULT_NAME = /^(batch_[A-Za-z0-9-]+)_(results|output|errors|error)\.jsonl$/;

/** @typedef {"input"|"output"|"errors"|"other"} Kind */
/** @typedef {{id: string, status: string|null, as: Kind}} Use a job, its status where it is known, and what the file is to it */

/**
 * @param {{kind: string, search: string}} filter
 * @param {number} wanted how many rows there is room for
 */
export function useFiles(filter, wanted) {
  const wide = Boolean(filter.search) || filter.kind === "output" || filter.kind === "errors";
  const purpose = { input: "batch", output: "batch_output", errors: "batch_output" }[filter.kind];
  return usePoll(
    async (signal) => {
      // Both at once, and both waited for at once: what one of them says while nobody waits for it, the browser complains of.
      const [{ data, has_more: moreJobs }, found] = await Promise.all([
        call("/batches", { query: { limit: JOBS }, signal }),
        pages({ purpose, wide, wanted, fits: (file) => fits(file, filter), signal }),
      ]);
      return { ...found, uses: usesOf(data), allJobs: !moreJobs };
    },
    [filter.kind, filter.search, wanted],
    { seconds: wide ? 10 : 3 },
  );
}

/** @param {{purpose: string|undefined, wide: boolean, wanted: number, fits: (file: any) => boolean, signal: AbortSignal}} asked */
async function pages({ purpose, wide, wanted, fits: wants, signal }) {
  const files = /** @type {any[]} */ ([]);
  let looked = 0;
  let after = /** @type {string|undefined} */ (undefined);
  for (;;) {
    const limit = wide ? SEARCHED_AT_ONCE : Math.min(wanted, 10_000);
    const page = await call("/files", { query: { purpose, limit, after }, signal });
    looked += page.data.length;
    files.push(...page.data.filter(wants));
    after = page.last_id;
    const enough = files.length > wanted || (!wide && files.length >= wanted);
    if (!page.has_more || enough || looked >= SEARCHED_MAX) {
      const given_up = page.has_more && !enough;
      return { files: files.slice(0, wanted), more: (page.has_more && enough) || files.length > wanted, given_up, looked };
    }
  }
}

/** @param {any} file @param {{kind: string, search: string}} filter */
function fits(file, { kind, search }) {
  if ((kind === "output" || kind === "errors") && kindOf(file) !== kind) return false;
  return `${file.filename} ${file.id}`.toLowerCase().includes(search.toLowerCase());
}

/** @param {any} file @returns {Kind} */
export function kindOf(file) {
  if (file.purpose === "batch") return "input";
  if (file.purpose !== "batch_output") return "other";
  return /^err/.test(RESULT_NAME.exec(file.filename)?.[2] ?? "") ? "errors" : "output";
}

/** The jobs of every file that they name. @param {any[]} batches @returns {Map<string, Use[]>} */
function usesOf(batches) {
  const uses = new Map();
  const add = (/** @type {string|null} */ id, /** @type {any} */ batch, /** @type {Kind} */ as) => {
    if (id) uses.set(id, [...(uses.get(id) ?? []), { id: batch.id, status: batch.status, as }]);
  };
  for (const batch of batches) {
    add(batch.input_file_id, batch, "input");
    add(batch.output_file_id, batch, "output");
    add(batch.error_file_id, batch, "errors");
  }
  return uses;
}

/** The jobs of a file, as far as they are known without asking. @param {any} file @param {Map<string, Use[]>} uses @returns {Use[]} */
export function knownUses(file, uses) {
  const named = RESULT_NAME.exec(file.filename);
  const fallback = file.purpose === "batch_output" && named ? [{ id: named[1], status: null, as: kindOf(file) }] : [];
  return uses.get(file.id) ?? fallback;
}

/** All jobs of a file: the service is asked by input file; a result names its job. @param {any} file @param {AbortSignal} [signal] @returns {Promise<Use[]>} */
export async function findUses(file, signal) {
  if (file.purpose === "batch_output") {
    const [use] = knownUses(file, new Map());
    if (!use) return [];
    const batch = await call(`/batches/${encodeURIComponent(use.id)}`, { signal }).catch((error) => {
      if (error.status === 404) return null;
      throw error;
    });
    return batch && [batch.output_file_id, batch.error_file_id].includes(file.id) ? [{ ...use, status: batch.status }] : [];
  }
  const page = await call("/batches", { query: { limit: JOBS, $filter: `input_file_id eq '${file.id}'` }, signal });
  return page.data.map((/** @type {any} */ batch) => ({ id: batch.id, status: batch.status, as: "input" }));
}
