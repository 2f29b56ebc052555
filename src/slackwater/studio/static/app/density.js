// @ts-check
/** How dense lists are, as this browser was told last. */
import { signal } from "./ui.js";

const KEY = "slackwater-density";

export const compact = signal(localStorage.getItem(KEY) === "compact");

/** @param {boolean} wanted */
export function setCompact(wanted) {
  compact.value = wanted;
  if (wanted) localStorage.setItem(KEY, "compact");
  else localStorage.removeItem(KEY);
}
