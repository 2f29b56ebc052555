// @ts-check
/**
 * The entries of the log, newest first, a page at a time. An entry never changes and numbers only grow, so what is asked for
 * again and again is what stands behind the newest number that has been looked at: that costs next to nothing, however long
 * the log is and however rare what is searched for.
 */
import { call } from "../app/api.js";
import { usePoll } from "../app/polling.js";
import { useRef, useState } from "../app/ui.js";

const PAGE = 50;
/** So many new ones at once are not put in front, but the list begins anew. */
const FRESH_MOST = 1000;

/** @typedef {{who: string, action: string, target: string}} Filter */

/**
 * A page behind an entry, and whether there are more.
 * @param {Filter} filter @param {{after?: string, limit?: number, order?: string, signal?: AbortSignal}} [options]
 */
export const entries = (filter, { after, limit = PAGE, order = "desc", signal } = {}) => call("/audit", { query: { ...filter, order, limit, after }, signal });

/** The newest page, and the number up to which all has been looked at. @param {Filter} filter @param {AbortSignal} signal */
async function begin(filter, signal) {
  const nothing = { who: "", action: "", target: "" };
  const end = await entries(nothing, { limit: 1, signal });
  const page = await entries(filter, { signal });
  const numbers = [end.data[0], page.data[0]].filter(Boolean).map((entry) => Number(entry.id));
  return { rows: page.data, more: page.has_more, seen: String(Math.max(0, ...numbers)) };
}

/** @param {Filter} filter */
export function useEntries(filter) {
  const inputs = [filter.who, filter.action, filter.target];
  const key = inputs.join("\n");
  /** What is known, newest first, without a gap; nothing that fits is in front of it up to the number `seen`. */
  const known = useRef(/** @type {{key: string, rows: any[], more: boolean, seen: string}|null} */ (null));
  const [loadingMore, setLoadingMore] = useState(false);
  const [moreError, setMoreError] = useState(/** @type {any} */ (null));
  const newest = usePoll(async (signal) => {
    const before = known.current;
    const fresh = before?.key === key ? await entries(filter, { after: before.seen, limit: FRESH_MOST, order: "asc", signal }) : null;
    if (fresh && !fresh.has_more && known.current?.key === key) {
      const { rows } = known.current;
      known.current = { ...known.current, rows: [...fresh.data.reverse(), ...rows], seen: fresh.last_id ?? before?.seen };
    } else {
      known.current = { key, ...(await begin(filter, signal)) };
    }
    return { key, ...known.current };
  }, inputs);
  const loadMore = async () => {
    const from = known.current;
    if (!from) return;
    setLoadingMore(true);
    setMoreError(null);
    try {
      const page = await entries(filter, { after: from.rows.at(-1).id });
      const now = known.current;
      if (now?.key === key && now.rows.at(-1).id === from.rows.at(-1).id) known.current = { ...now, rows: [...now.rows, ...page.data], more: page.has_more };
    } catch (error) {
      setMoreError(error);
    }
    setLoadingMore(false);
  };
  const there = newest.data && known.current?.key === key ? known.current : null;
  return {
    rows: there?.rows ?? null,
    more: Boolean(there?.more),
    error: newest.error ?? moreError,
    refresh: newest.refresh,
    loadMore,
    loadingMore,
  };
}
