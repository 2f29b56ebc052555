// @ts-check
/** Light, dark, or as the system has it. theme_first.js applies the choice before the first paint. */
import { signal } from "./ui.js";

const KEY = "slackwater-theme";

/** @typedef {"system"|"light"|"dark"} Theme */
export const theme = signal(/** @type {Theme} */ (document.documentElement.dataset.theme ?? "system"));

/** @param {Theme} choice */
export function setTheme(choice) {
  theme.value = choice;
  if (choice === "system") {
    localStorage.removeItem(KEY);
    delete document.documentElement.dataset.theme;
  } else {
    localStorage.setItem(KEY, choice);
    document.documentElement.dataset.theme = choice;
  }
}
