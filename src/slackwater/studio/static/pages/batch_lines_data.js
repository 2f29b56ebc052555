// @ts-check
/** The results of a job: a page of the table, kept up to date while the job runs; and what a search has found, call by call. */
import { call, part } from "../app/api.js";
import { isOpen } from "../app/parts/status.js";
import { usePoll } from "../app/polling.js";
import { place, search } from "../app/router.js";
import { useEffect, useState } from "../app/ui.js";

export const PAGE = 50;

/** What the address asks of the table. @typedef {{outcome: string, code: string, order: string, find: string, at: number}} Asked */

/** The orders that there are: what the API calls them, and whether the largest comes first. @type {Record<string, {text: string, order: string, descending: boolean}>} */
export const ORDERS = {
  arrival: { text: "As they came", order: "arrival", descending: false },
  latest: { text: "Last ones first", order: "arrival", descending: true },
  line: { text: "By line of the input", order: "line", descending: false },
  "line-down": { text: "By line, from the end", order: "line", descending: true },
  most: { text: "Most output tokens first", order: "output_tokens", descending: true },
  fewest: { text: "Fewest output tokens first", order: "output_tokens", descending: false },
  slowest: { text: "Slowest first", order: "latency", descending: true },
  fastest: { text: "Fastest first", order: "latency", descending: false },
};

/** @returns {Asked} */
export function asked() {
  const { outcome = "", code = "", order = "arrival", find = "", at = "0" } = place.value.query;
  return { outcome, code, order: order in ORDERS ? order : "arrival", find, at: Math.max(0, Number.parseInt(at, 10) || 0) };
}

/** Changes what is asked; another table begins at its first page. @param {Record<string, string|null>} changes */
export const ask = (changes) => search({ at: null, ...changes });

/** A code of errors as the address has it: the code and its status. @param {any} group */
export const codeOf = (group) => `${group.status_code ?? ""} ${group.code}`;

/** What the API is asked to leave out. @param {Asked} wanted */
export function selection(wanted) {
  const [status, ...code] = wanted.code.split(" ");
  if (wanted.code) return { code: code.join(" "), status_code: status };
  return { outcome: wanted.outcome };
}

/** What the API is asked for its order. @param {Asked} wanted */
export function inOrder(wanted) {
  const { order, descending } = ORDERS[wanted.order];
  return { order: order === "arrival" ? "" : order, descending: descending ? "true" : "" };
}

/** A page of the table. @param {any} batch @param {Asked} wanted */
export function useTable(batch, wanted) {
  const ended = !isOpen(batch.status);
  const query = { ...selection(wanted), ...inOrder(wanted), offset: wanted.at || "", limit: PAGE };
  return usePoll(
    async (signal) => (wanted.find ? null : call(`/batches/${part(batch.id)}/result_table`, { query, signal })),
    [batch.id, ended, JSON.stringify(query), Boolean(wanted.find)],
    // A first page is shown before the table is made: then the numbers of lines follow.
    { again: (data) => !wanted.find && (!ended || (data !== null && !data.ready && data.total <= READY_MAX)), seconds: ended ? 1 : 2 },
  );
}

/** Of more results than that there is no table but their first page. */
export const READY_MAX = 800_000;

/** @typedef {{rows: any[], page: any, key: string}} Found */

/** What a search has found so far; it goes on when it is told to. @param {any} batch @param {Asked} wanted */
export function useSearch(batch, wanted) {
  const query = { text: wanted.find, ...selection(wanted), limit: PAGE };
  const key = JSON.stringify([batch.id, query]);
  const [found, setFound] = useState(/** @type {Found|null} */ (null));
  const [loading, setLoading] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const go = async (/** @type {Found|null} */ before, /** @type {AbortSignal|undefined} */ signal) => {
    setLoading(true);
    setError(null);
    try {
      const page = await call(`/batches/${part(batch.id)}/result_search`, { query: { ...query, after: before?.page.next }, signal });
      const shown = new Set(before?.rows.map((row) => row.custom_id));
      // When a job ends, its search begins again: what was found before is not shown twice.
      setFound({ rows: [...(before?.rows ?? []), ...page.data.filter((/** @type {any} */ row) => !shown.has(row.custom_id))], page, key });
      setLoading(false);
    } catch (problem) {
      if (signal?.aborted) return;
      setError(problem);
      setLoading(false);
    }
  };
  useEffect(() => {
    if (!wanted.find) {
      setFound(null);
      return undefined;
    }
    const aborter = new AbortController();
    go(null, aborter.signal);
    return () => aborter.abort();
  }, [key]);
  return { found: wanted.find ? found : null, fresh: found?.key === key, loading, error, goOn: () => go(found, undefined), again: () => go(null, undefined) };
}

/** Where the request of a number stands in the table. @param {any} batch @param {Asked} wanted @param {number} line @returns {Promise<number>} */
export async function placeOf(batch, wanted, line) {
  const query = { ...selection(wanted), ...inOrder({ ...wanted, order: wanted.order === "line-down" ? "line-down" : "line" }), line, limit: PAGE };
  return (await call(`/batches/${part(batch.id)}/result_table`, { query })).offset;
}
