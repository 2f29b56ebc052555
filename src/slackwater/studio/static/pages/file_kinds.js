// @ts-check
/** What kinds and states of files look like. */
import { Notice } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { html } from "../app/ui.js";

/** @type {Record<import("./files_data.js").Kind, {text: string, icon: string, tone: string}>} */
export const KINDS = {
  input: { text: "Input", icon: "upload", tone: "busy" },
  output: { text: "Output", icon: "check", tone: "good" },
  errors: { text: "Errors", icon: "cross", tone: "bad" },
  other: { text: "Other", icon: "files", tone: "plain" },
};

/** @param {{kind: import("./files_data.js").Kind, purpose: string}} properties */
export function KindPill({ kind, purpose }) {
  const known = KINDS[kind];
  return html`<span class=${`pill ${known.tone}`} title=${`The purpose is ${purpose}`}><${Icon} name=${known.icon} />${known.text}</span>`;
}

/** A file that has no content, not yet or for good. @param {{file: any, words?: boolean}} properties words: whole sentences */
export function FileState({ file, words = false }) {
  if (file.status === "processed") return null;
  const pending = file.status === "pending";
  if (!words) return html`<span class=${`pill ${pending ? "busy" : "bad"}`} title=${file.status_details ?? ""}><${Icon} name=${pending ? "clock" : "cross"} />${pending ? "Importing" : "Import failed"}</span>`;
  if (pending) return html`<${Notice}><p>The service is fetching this file from its URL. It can be used when it has come.</p><//>`;
  return html`<${Notice} kind="bad"><p><strong>The file could not be fetched.</strong> ${file.status_details ?? ""}</p><p>Delete it, put the cause right, and import it again.</p><//>`;
}
