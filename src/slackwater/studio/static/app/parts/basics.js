// @ts-check
/** The small parts that every page is made of. */
import { dateTime, ago, utc } from "../formats.js";
import { now } from "../polling.js";
import { toast } from "../toasts.js";
import { html } from "../ui.js";
import { Icon } from "./icons.js";

/**
 * A button, or a link that looks like one where `href` is given.
 * @param {{kind?: "main"|"plain"|"bad"|"quiet", icon?: string, href?: string, busy?: boolean, disabled?: boolean, why?: string,
 *   label?: string, children?: any, [name: string]: any}} properties why: the reason why it is disabled; label: the name where
 *   only the icon is shown
 */
export function Button({ kind = "plain", icon, href, busy = false, disabled = false, why, label, children, ...more }) {
  const look = `button ${kind} ${children ? "" : "bare"}`;
  const content = html`${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}`;
  if (href && !disabled) return html`<a class=${look} href=${href} aria-label=${label} title=${label} ...${more}>${content}</a>`;
  return html`<button type="button" class=${look} aria-label=${label} title=${disabled ? why : label} aria-busy=${busy}
    disabled=${disabled || busy} ...${more}>${content}</button>`;
}

/** A moment in local time, with UTC in its title. @param {{at: number|null|undefined, relative?: boolean}} properties */
export function Time({ at, relative = false }) {
  if (at === null || at === undefined) return html`<span class="muted">–</span>`;
  const text = relative ? ago(at, now.value) : dateTime(at);
  return html`<time class="nowrap" datetime=${new Date(at * 1000).toISOString()} title=${relative ? `${dateTime(at)} here, ${utc(at)}` : utc(at)}>${text}</time>`;
}

/** Copies a text. @param {{text: string, label: string, children?: any}} properties */
export function Copy({ text, label, children }) {
  const copy = async () => {
    try {
      await navigator.clipboard.writeText(text);
      toast("Copied.");
    } catch {
      toast("The browser does not allow copying here. Select the text and copy it by hand.", "bad");
    }
  };
  return html`<${Button} kind="quiet" icon="copy" label=${children ? undefined : label} onClick=${copy}>${children}<//>`;
}

/** A path or an address, which breaks behind its slashes and not inside a word. @param {{text: string}} properties */
export const Path = ({ text }) => text.split(/(?<=[^/]\/)(?=[^/])/).map((piece, index) => html`${index > 0 && html`<wbr />`}${piece}`);

/** An id that can be copied. @param {{id: string, what: string}} properties */
export function Id({ id, what }) {
  return html`<span class="id"><code class="cut" title=${id}>${id}</code><${Copy} text=${id} label=${`Copy the id of ${what}`} /></span>`;
}

/**
 * What a page shows where there is nothing: what this place is for, and the next step.
 * @param {{title: string, icon?: string, children?: any, actions?: any}} properties
 */
export function Empty({ title, icon = "jobs", children, actions }) {
  return html`<div class="empty"><span class="empty-icon"><${Icon} name=${icon} /></span><h2>${title}</h2>
    <div class="muted">${children}</div>${actions && html`<div class="row">${actions}</div>`}</div>`;
}

/**
 * What went wrong, and the next step.
 * @param {{error: any, retry?: () => void, title?: string, children?: any}} properties
 */
export function Failure({ error, retry, title, children }) {
  if (!error) return null;
  return html`<div class="notice bad" role="alert"><${Icon} name="warning" /><div class="stack tight">
    ${title && html`<strong>${title}</strong>`}
    <p>${error.message}</p>${children}
    ${error.requestId && error.status >= 500 && html`<p class="small">Tell the operator this request id: <code>${error.requestId}</code></p>`}
    ${retry && html`<div><${Button} icon="retry" onClick=${retry}>Try again<//></div>`}
  </div></div>`;
}

/** @param {{kind?: "info"|"good"|"warn"|"bad", children?: any}} properties */
export function Notice({ kind = "info", children }) {
  const icon = { info: "info", good: "check", warn: "warning", bad: "warning" }[kind];
  return html`<div class=${`notice ${kind}`}><${Icon} name=${icon} /><div class="stack tight">${children}</div></div>`;
}

/** Grey lines of the height of what is coming. @param {{lines?: number, height?: number}} properties */
export function Skeleton({ lines = 1, height = 20 }) {
  return html`<div class="skeleton" aria-hidden="true">${Array.from({ length: lines }, () => html`<div style=${{ height: `${height}px` }}></div>`)}</div>`;
}

/** A titled part of a page. @param {{title: string, actions?: any, class?: string, id?: string, children?: any}} properties */
export function Panel({ title, actions, class: more = "", id, children }) {
  return html`<section class=${`panel ${more}`} id=${id} aria-label=${title}><header class="row"><h2>${title}</h2>${actions && html`<div class="row push">${actions}</div>`}</header>${children}</section>`;
}

/** A heading with what can be done on the page. @param {{title: any, back?: {href: string, text: string}, actions?: any, children?: any}} properties */
export function Heading({ title, back, actions, children }) {
  return html`<header class="heading">
    ${back && html`<a class="back small" href=${back.href}><${Icon} name="left" />${back.text}</a>`}
    <div class="row"><h1>${title}</h1>${children}<div class="row push">${actions}</div></div>
  </header>`;
}

/** A label, its control, and what there is to know or wrong about it. @param {{label: string, id: string, hint?: any, fault?: string|null, children?: any}} properties */
export function Field({ label, id, hint, fault, children }) {
  return html`<div class="field"><label for=${id}>${label}</label>${children}
    ${hint && html`<div class="small muted" id=${`${id}-hint`}>${hint}</div>`}
    ${fault && html`<div class="small fault" role="alert"><${Icon} name="warning" />${fault}</div>`}</div>`;
}
