// @ts-check
/** A search field whose text is the `search` of the address, so that a link carries it. "/" goes to it, Escape empties it. */
import { search } from "../router.js";
import { html, useEffect, useState } from "../ui.js";
import { Icon } from "./icons.js";

const PAUSE_MILLISECONDS = 250;

/** @param {{id: string, label: string, placeholder: string, text: string}} properties */
export function SearchBox({ id, label, placeholder, text }) {
  const [typed, setTyped] = useState(text);
  useEffect(() => setTyped(text), [text]);
  useEffect(() => {
    if (typed.trim() === text) return undefined;
    const timer = setTimeout(() => search({ search: typed.trim() || null }), PAUSE_MILLISECONDS);
    return () => clearTimeout(timer);
  }, [typed]);
  const escape = (/** @type {KeyboardEvent} */ event) => event.key === "Escape" && (typed ? setTyped("") : /** @type {any} */ (event.target).blur());
  return html`<div class="search"><${Icon} name="search" /><label class="unseen" for=${id}>${label}</label>
    <input id=${id} type="search" placeholder=${`${placeholder}   /`} value=${typed} autocomplete="off" onKeyDown=${escape}
      onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></div>`;
}
