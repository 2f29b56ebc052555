// @ts-check
/** Line icons of 16 by 16, drawn for Studio. They only accompany words, so readers of the screen skip them. */
import { html } from "../ui.js";

/** @type {Record<string, string>} */
const PATHS = {
  jobs: "M2.5 4h11M2.5 8h11M2.5 12h7",
  files: "M4 1.8h5l3.5 3.5v8.9H4zM9 1.8v3.5h3.5",
  deployments: "M8 1.8l5.7 3.1v6.2L8 14.2l-5.7-3.1V4.9zM2.3 4.9L8 8l5.7-3.1M8 8v6.2",
  servers: "M2.5 2.8h11v4.4h-11zM2.5 8.8h11v4.4h-11zM5 5h.01M5 11h.01M7.5 5h3.5M7.5 11h3.5",
  usage: "M2.5 13.5h11M4.5 13V8.5M8 13V3.5M11.5 13V6.5",
  webhooks: "M9 1.8L3.5 9H8l-1 5.2L12.5 7H8z",
  keys: "M10.3 9.2a3.5 3.5 0 1 0-3.4-2.7L2 11.4V14h2.6v-1.8h1.8v-1.8zM11.2 4.8h.01",
  audit: "M3 2.5h10v11H3zM5.5 5.5h5M5.5 8h5M5.5 10.5h3",
  plus: "M8 3v10M3 8h10",
  search: "M7 12A5 5 0 1 0 7 2a5 5 0 0 0 0 10zM10.7 10.7L14 14",
  close: "M4 4l8 8M12 4l-8 8",
  check: "M3 8.5l3.2 3.2L13 5",
  cross: "M4.5 4.5l7 7M11.5 4.5l-7 7",
  warning: "M8 2.2l6.3 11.3H1.7zM8 6.5v3.2M8 11.6v.1",
  info: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 7.2v3.9M8 4.9v.1",
  clock: "M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12zM8 4.8V8l2.2 1.5",
  run: "M5 3.2v9.6l7.5-4.8z",
  stop: "M4 4h8v8H4z",
  pack: "M2.5 5h11v8.5h-11zM2.5 5l1.6-2.5h7.8L13.5 5M6 8h4",
  download: "M8 2.2v7.6M4.8 6.8L8 10l3.2-3.2M2.8 13.5h10.4",
  upload: "M8 10.2V2.6M4.8 5.6L8 2.4l3.2 3.2M2.8 13.5h10.4",
  copy: "M5.5 5.5h8v8h-8zM10.5 5.5v-3h-8v8h3",
  retry: "M13 3v3.5H9.5M12.8 6.3A5.2 5.2 0 1 0 13.2 9",
  code: "M5.5 4L2 8l3.5 4M10.5 4L14 8l-3.5 4",
  menu: "M2.5 4h11M2.5 8h11M2.5 12h11",
  trash: "M2.5 4h11M6 4V2.2h4V4M4 4l.7 9.8h6.6L12 4M6.7 6.8v4.2M9.3 6.8v4.2",
  edit: "M3 13l.6-3 7.2-7.2 2.4 2.4L6 12.4zM9.3 4.3l2.4 2.4",
  lock: "M3.5 7h9v6.8h-9zM5.3 7V4.8a2.7 2.7 0 0 1 5.4 0V7",
  left: "M10 3L5 8l5 5",
  first: "M11.5 3l-5 5 5 5M4 3v10",
  last: "M4.5 3l5 5-5 5M12 3v10",
  right: "M6 3l5 5-5 5",
  out: "M9.5 2.5H13v11H9.5M2.8 8h6.7M7 5.3L9.7 8 7 10.7",
};

/** @param {{name: string}} properties */
export function Icon({ name }) {
  return html`<svg class="icon" width="16" height="16" viewBox="0 0 16 16" fill="none" stroke="currentColor" stroke-width="1.5"
    stroke-linecap="round" stroke-linejoin="round" aria-hidden="true"><path d=${PATHS[name] ?? ""} /></svg>`;
}
