// @ts-check
/**
 * The entries of the log, newest first, a page at a time. An entry never changes, so only the newest page is asked for again,
 * and what is new is put in front. Numbers grow, so they say in which order entries stand and where a page ends.
 */
import { call } from "../app/api.js";
import { usePoll } from "../app/polling.js";
import { useRef, useState } from "../app/ui.js";

const PAGE = 50;

/** @typedef {{who: string, action: string, target: string}} Filter */

/**
 * A page behind an entry, and whether there are more.
 * @param {Filter} filter @param {{after?: string, limit?: number, order?: string, signal?: AbortSignal}} [options]
 */
export const entries = (filter, { after, limit = PAGE, order = "desc", signal } = {}) => call("/audit", { query: { ...filter, order, limit, after }, signal });

/** @param {Filter} filter */
export function useEntries(filter) {
  const inputs = [filter.who, filter.action, filter.target];
  const key = inputs.join("\n");
  /** What is known, newest first, without a gap. */
  const known = useRef(/** @type {{key: string, rows: any[], more: boolean}} */ ({ key, rows: [], more: false }));
  const [loadingMore, setLoadingMore] = useState(false);
  const [moreError, setMoreError] = useState(/** @type {any} */ (null));
  const newest = usePoll(
    async (signal) => {
      const page = await entries(filter, { signal });
      const before = known.current.key === key ? known.current : { key, rows: [], more: false };
      const joins = before.rows.length && page.data.some((/** @type {any} */ entry) => entry.id === before.rows[0].id);
      const fresh = joins ? page.data.slice(0, page.data.findIndex((/** @type {any} */ entry) => entry.id === before.rows[0].id)) : page.data;
      // Where more has happened than a page holds, it begins anew: a list with a hole in it would lie.
      known.current = joins ? { ...before, rows: [...fresh, ...before.rows] } : { key, rows: page.data, more: page.has_more };
      return { key, ...known.current };
    },
    inputs,
  );
  const loadMore = async () => {
    const from = known.current;
    setLoadingMore(true);
    setMoreError(null);
    try {
      const page = await entries(filter, { after: from.rows.at(-1).id });
      if (known.current.key === key && known.current.rows.at(-1).id === from.rows.at(-1).id) {
        known.current = { key, rows: [...known.current.rows, ...page.data], more: page.has_more };
      }
    } catch (error) {
      setMoreError(error);
    }
    setLoadingMore(false);
  };
  const there = newest.data && known.current.key === key;
  return {
    rows: there ? known.current.rows : null,
    more: there && known.current.more,
    error: newest.error ?? moreError,
    refresh: newest.refresh,
    loadMore,
    loadingMore,
  };
}
