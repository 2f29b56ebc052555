// @ts-check
/** Short messages about what has just been done. What went wrong is shown beside its cause instead, and stays there. */
import { html, signal } from "./ui.js";

const SECONDS = 5;
const shown = signal(/** @type {{id: number, text: string, tone: string}[]} */ ([]));
let last = 0;

/** @param {string} text @param {"good"|"bad"} [tone] */
export function toast(text, tone = "good") {
  const id = (last += 1);
  shown.value = [...shown.value.slice(-2), { id, text, tone }];
  setTimeout(() => (shown.value = shown.value.filter((each) => each.id !== id)), SECONDS * 1000);
}

/** Where they appear; once in the shell. */
export function Toasts() {
  return html`<div class="toasts" role="status">${shown.value.map((each) => html`<div key=${each.id} class=${`toast ${each.tone}`}>${each.text}</div>`)}</div>`;
}
