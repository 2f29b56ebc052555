// @ts-check
/** The lines of a job's results: pages in the order of completion; at the end of what there is, new ones are waited for. */
import { call, part } from "../app/api.js";
import { isOpen } from "../app/parts/status.js";
import { usePoll } from "../app/polling.js";
import { useEffect, useRef, useState } from "../app/ui.js";

const PAGE = 50;
/** So many rows appear by themselves. Beyond that, a quick job would fill the page faster than anybody reads. */
const LIVE_ROWS = 300;
const TYPING_MILLISECONDS = 250;

/**
 * @param {any} batch
 * @param {{custom_id: string, outcome: string}} wanted
 */
export function useLines(batch, wanted) {
  const settled = useSettled(wanted);
  const [state, setState] = useState(/** @type {{rows: any[]|null, next: string|null, more: boolean}} */ ({ rows: null, next: null, more: false }));
  const [loading, setLoading] = useState(false);
  const [failure, setFailure] = useState(/** @type {any} */ (null));
  const latest = useRef(state);
  latest.current = state;
  const query = JSON.stringify(settled);
  const current = useRef(query);
  current.current = query;
  const ended = !isOpen(batch.status);
  const full = (state.rows?.length ?? 0) >= LIVE_ROWS;

  const load = async (/** @type {any} */ before, /** @type {AbortSignal|undefined} */ signal) => {
    const rows = [...(before.rows ?? [])];
    const shown = new Set(rows.map((row) => row.custom_id));
    let next = before.next;
    for (;;) {
      const page = await call(`/batches/${part(batch.id)}/lines`, { query: { ...settled, limit: PAGE, after: next }, signal });
      next = page.next ?? next;
      // A cursor from the time when the job ran begins anew when it has ended, so lines may come twice.
      const fresh = page.data.filter((/** @type {any} */ row) => !shown.has(row.custom_id));
      rows.push(...fresh);
      if (fresh.length || !page.has_more) return { rows, next, more: page.has_more, query };
    }
  };
  const set = (/** @type {any} */ after) => {
    if (after.query !== current.current) return;
    latest.current = after;
    setState(after);
  };

  // A new search begins at the beginning; what came before stays on the page until its answer is there.
  const begun = useRef("");
  const poll = usePoll(
    async (signal) => {
      const fresh = begun.current !== query;
      if (!fresh && latest.current.more) return;
      const after = await load(fresh ? { rows: null, next: null } : latest.current, signal);
      begun.current = query;
      set(after);
    },
    [batch.id, query, ended],
    { again: () => !ended && !(latest.current.rows && latest.current.rows.length >= LIVE_ROWS) },
  );

  const loadMore = async () => {
    setLoading(true);
    setFailure(null);
    try {
      set(await load(latest.current, undefined));
    } catch (error) {
      setFailure(error);
    }
    setLoading(false);
  };
  return {
    rows: state.rows,
    more: state.more || (!ended && full),
    live: !ended && !state.more && !full,
    error: poll.error ?? failure,
    loading,
    loadMore,
    refresh: poll.refresh,
  };
}

/** What was typed, as soon as the typing pauses. @template T @param {T} value @returns {T} */
function useSettled(value) {
  const [settled, setSettled] = useState(value);
  const text = JSON.stringify(value);
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), TYPING_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [text]);
  return settled;
}
