// @ts-check
/**
 * Keeps what a page shows up to date: asks every two seconds while the tab can be seen, waits longer and longer while the
 * service does not answer, and says so in one banner for the whole page.
 */
import { signal, useEffect, useRef, useState } from "./ui.js";

const SECONDS = 2;
const SECONDS_MAX = 30;

/** What the banner shows; null while all is well. */
export const lost = signal(/** @type {{since: Date, retryAt: number, retry: () => void}|null} */ (null));
/** The time, in seconds: pages that write "3 min ago" follow it. */
export const now = signal(Date.now() / 1000);
setInterval(() => {
  if (document.visibilityState === "visible") now.value = Date.now() / 1000;
}, 1000);

/**
 * Loads something and goes on loading it.
 *
 * `load` is called at once whenever one of `inputs` changes; what came before stays in `data` until the new answer is there.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {any[]} inputs
 * @param {{again?: (data: T|null) => boolean, seconds?: number}} [options] again: whether there is anything to wait for
 * @returns {{data: T|null, error: any, loading: boolean, refresh: () => void}}
 */
export function usePoll(load, inputs, { again = () => true, seconds = SECONDS } = {}) {
  const [state, setState] = useState(/** @type {any} */ ({ data: null, error: null, loading: true }));
  const latest = useRef({ load, again });
  latest.current = { load, again };
  const refresh = useRef(() => {});

  useEffect(() => {
    const aborter = new AbortController();
    let timer = 0;
    let failures = 0;
    let busy = false;
    let data = /** @type {T|null} */ (null);

    async function step() {
      if (busy || aborter.signal.aborted) return;
      busy = true;
      clearTimeout(timer);
      let wait = seconds;
      try {
        data = await latest.current.load(aborter.signal);
        if (aborter.signal.aborted) return;
        failures = 0;
        if (lost.value?.retry === step) lost.value = null;
        setState({ data, error: null, loading: false });
      } catch (error) {
        if (aborter.signal.aborted) return;
        const passing = /** @type {any} */ (error).passing;
        failures += 1;
        wait = Math.min(SECONDS_MAX, seconds * 2 ** Math.min(failures, 5));
        if (passing) lost.value = { since: lost.value?.since ?? new Date(), retryAt: Date.now() / 1000 + wait, retry: step };
        setState((/** @type {any} */ before) => ({ ...before, error, loading: false }));
        // What was refused stays refused, until the user does something about it.
        if (!passing) return;
      } finally {
        busy = false;
      }
      if (failures || latest.current.again(data)) timer = setTimeout(tick, wait * 1000);
    }
    function tick() {
      // A tab that nobody sees asks for nothing; the event below wakes it.
      if (document.visibilityState === "visible") step();
    }
    function seen() {
      if (document.visibilityState === "visible" && (failures || latest.current.again(data))) step();
    }
    refresh.current = step;
    setState((/** @type {any} */ before) => ({ ...before, error: null, loading: true }));
    step();
    document.addEventListener("visibilitychange", seen);
    return () => {
      aborter.abort();
      clearTimeout(timer);
      document.removeEventListener("visibilitychange", seen);
      if (lost.value?.retry === step) lost.value = null;
    };
  }, inputs);

  return { ...state, refresh: () => refresh.current() };
}

/** Loads something once, and again whenever one of `inputs` changes or `refresh` is called.
 * @template T @param {(signal: AbortSignal) => Promise<T>} load @param {any[]} inputs */
export const useLoad = (load, inputs) => usePoll(load, inputs, { again: () => false });
