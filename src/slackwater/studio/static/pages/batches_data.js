// @ts-check
/**
 * The rows of the list of jobs, a page at a time. A page is asked for again while a job on it is open; a job that has ended
 * never changes, so pages full of those stay as they are, however many have been loaded.
 */
import { call } from "../app/api.js";
import { isOpen } from "../app/parts/status.js";
import { usePoll } from "../app/polling.js";
import { useRef, useState } from "../app/ui.js";

const PAGE = 50;

/**
 * @param {Record<string, string>} filter the query of `batch_overview`
 */
export function useBatches(filter) {
  const inputs = [JSON.stringify(filter)];
  /** Pages behind the first one. @type {{current: {after: string, data: any[], more: boolean}[]}} */
  const older = useRef([]);
  const [loadingMore, setLoadingMore] = useState(false);
  const [moreError, setMoreError] = useState(/** @type {any} */ (null));
  const [, redraw] = useState(0);
  const known = useRef(inputs.join("\n"));
  if (known.current !== inputs.join("\n")) {
    known.current = inputs.join("\n");
    older.current = [];
  }

  const page = async (/** @type {string|undefined} */ after, /** @type {AbortSignal} */ signal) => {
    const answer = await call("/batch_overview", { query: { ...filter, limit: PAGE, after }, signal });
    return { after: after ?? "", data: answer.data, more: answer.has_more, counts: answer.counts, withFailures: answer.completed_with_failures };
  };

  const first = usePoll(async (signal) => {
    const newest = await page(undefined, signal);
    for (const [index, each] of older.current.entries()) {
      if (each.data.some((row) => isOpen(row.status))) older.current[index] = await page(each.after, signal);
    }
    return newest;
  }, inputs);

  const loadMore = async () => {
    const last = older.current.at(-1) ?? first.data;
    const wanted = known.current;
    setLoadingMore(true);
    setMoreError(null);
    try {
      const next = await page(last?.data.at(-1).id, new AbortController().signal);
      if (known.current === wanted) older.current.push(next);
    } catch (error) {
      setMoreError(error);
    }
    setLoadingMore(false);
    redraw((count) => count + 1);
  };

  // New jobs push the first page down, so a row may be on two pages for a while.
  const rows = first.data && [...new Map([first.data, ...older.current].flatMap((each) => each.data).reverse().map((row) => [row.id, row])).values()].reverse();
  return {
    rows,
    counts: first.data?.counts ?? null,
    withFailures: first.data?.withFailures ?? null,
    more: Boolean((older.current.at(-1) ?? first.data)?.more),
    error: first.error ?? moreError,
    refresh: first.refresh,
    loadMore,
    loadingMore,
  };
}
