// @ts-check
/**
 * Which page is shown: the path and the query of the address, as a signal. Links are ordinary ones; a click on one that stays
 * inside Studio changes the address without loading the page again.
 */
import { signal } from "./ui.js";

export const BASE = "/studio";

/** @typedef {{path: string, query: Record<string, string>}} Place */

/** @returns {Place} */
function read() {
  const path = location.pathname.replace(/\/+$/, "").slice(BASE.length) || "/";
  return { path, query: Object.fromEntries(new URLSearchParams(location.search)) };
}

/** Where we are. */
export const place = signal(read());

/** The address of a page. @param {string} path @param {Record<string, string|null|undefined>} [query] */
export function to(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value);
  const text = new URLSearchParams(/** @type {[string, string][]} */ (given)).toString();
  return BASE + (path === "/" ? "" : path) + (text && `?${text}`);
}

/** Goes to an address. @param {string} address @param {{replace?: boolean}} [options] replace: the way back leaves this out */
export function go(address, { replace = false } = {}) {
  const before = place.value.path;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
  place.value = read();
  if (place.value.path !== before) {
    scrollTo(0, 0);
    // Somebody who does not see the screen hears the new page's heading.
    requestAnimationFrame(() => document.getElementById("main")?.focus({ preventScroll: true }));
  }
}

/** Changes parts of the query and stays on the page. @param {Record<string, string|null>} changes */
export function search(changes) {
  go(to(place.value.path, { ...place.value.query, ...changes }), { replace: true });
}

/** Listens for clicks and for the way back. */
export function startRouter() {
  addEventListener("popstate", () => (place.value = read()));
  document.addEventListener("click", (event) => {
    if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
    const link = event.target instanceof Element ? event.target.closest("a") : null;
    if (!link || link.target || link.hasAttribute("download") || link.origin !== location.origin) return;
    const inside = link.pathname === BASE || link.pathname.startsWith(`${BASE}/`);
    if (!inside || link.dataset.leaves !== undefined || link.hash) return;
    event.preventDefault();
    go(link.pathname + link.search);
  });
}

/**
 * Whether a path fits a pattern such as "/batches/:id", and what stands at its names.
 * @param {string} pattern
 * @param {string} path
 * @returns {Record<string, string>|null}
 */
export function match(pattern, path) {
  const wanted = pattern.split("/");
  const given = path.split("/");
  if (wanted.length !== given.length) return null;
  /** @type {Record<string, string>} */
  const names = {};
  for (const [index, word] of wanted.entries()) {
    if (word.startsWith(":")) names[word.slice(1)] = decodeURIComponent(given[index]);
    else if (word !== given[index]) return null;
  }
  return names;
}
