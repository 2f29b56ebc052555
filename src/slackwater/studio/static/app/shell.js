// @ts-check
/** What stands around every page: the navigation, the resource, the theme, and the banner of a lost connection. */
import { clock, duration } from "./formats.js";
import { useKeys } from "./keyboard.js";
import { Button } from "./parts/basics.js";
import { Dialog } from "./parts/dialog.js";
import { Icon } from "./parts/icons.js";
import { lost, now } from "./polling.js";
import { go, place, to } from "./router.js";
import { ROUTES } from "./routes.js";
import { isAdmin, session, signOut } from "./session.js";
import { ResourceChoice } from "./sign_in.js";
import { setTheme, theme } from "./theme.js";
import { Toasts } from "./toasts.js";
import { html, useEffect, useState } from "./ui.js";

/** @param {{route: import("./routes.js").Route|null, children?: any}} properties */
export function Shell({ route, children }) {
  const [open, setOpen] = useState(false);
  const [help, setHelp] = useState(false);
  useKeys({ n: () => go(to("/batches/new")), "?": () => setHelp(true), "/": focusSearch });
  useEffect(() => setOpen(false), [place.value.path]);
  return html`<div class="shell">
    <a class="skip" href="#main">Skip to the page</a>
    <header class="top">
      <${Button} kind="quiet" icon="menu" label="Menu" aria-expanded=${open} aria-controls="side" onClick=${() => setOpen(!open)} />
      <${Brand} />
    </header>
    <aside id="side" class=${open ? "side open" : "side"}>
      <div class="side-brand"><${Brand} /></div>
      <nav aria-label="Studio"><ul>${offered().map((each) => html`<li key=${each.path}><${Entry} entry=${each} current=${route} /></li>`)}</ul></nav>
      <${Account} onHelp=${() => setHelp(true)} />
    </aside>
    <main id="main" tabindex="-1">${children}</main>
    <${Lost} />
    <${Toasts} />
    ${help && html`<${Keys} onClose=${() => setHelp(false)} />`}
  </div>`;
}

const Brand = () => html`<a class="brand" href=${to("/")}>
  <svg width="22" height="22" viewBox="0 0 32 32" aria-hidden="true"><rect width="32" height="32" rx="7" fill="#0b5fc0" /><path d="M5 13c3.7-4 7.3-4 11 0s7.3 4 11 0M5 21c3.7-4 7.3-4 11 0s7.3 4 11 0" fill="none" stroke="#fff" stroke-width="2.6" stroke-linecap="round" /></svg>
  <span>Slackwater <span class="muted">Studio</span></span></a>`;

/** The entries of the navigation that this caller has. */
function offered() {
  return ROUTES.filter((each) => each.icon && (!each.needs || (each.needs === "service" ? session.value?.operates : isAdmin.value)));
}

/** @param {{entry: any, current: any}} properties */
function Entry({ entry, current }) {
  const here = current && (current === entry || current.under === entry.path);
  return html`<a href=${to(entry.path)} aria-current=${here ? "page" : undefined}><${Icon} name=${entry.icon} />${entry.title}</a>`;
}

/** @param {{onHelp: () => void}} properties */
function Account({ onHelp }) {
  const known = session.value;
  if (!known) return null;
  const who = known.open ? "No key is needed here" : `${known.name ?? "signed in"} · ${known.role}`;
  return html`<div class="account stack tight">
    <${ResourceChoice} />
    <p class="small muted cut" title=${who}>${who}</p>
    <div class="row tight">
      <label class="unseen" for="theme">Colours</label>
      <select id="theme" class="compact" value=${theme.value} onChange=${(/** @type {any} */ event) => setTheme(event.target.value)}>
        <option value="system">System</option><option value="light">Light</option><option value="dark">Dark</option>
      </select>
      <${Button} kind="quiet" label="Keyboard" onClick=${onHelp}>?<//>
      ${!known.open && html`<${Button} kind="quiet" icon="out" label="Sign out" onClick=${signOut} />`}
    </div>
    <p class="small muted">Version ${known.version}</p>
  </div>`;
}

/** Says that nothing new arrives, and what happens next. It lies over the page, so that nothing moves. */
function Lost() {
  const state = lost.value;
  if (!state) return null;
  const wait = Math.max(0, state.retryAt - now.value);
  return html`<div class="lost" role="alert"><${Icon} name="warning" />
    <div><strong>Connection lost, trying again${wait >= 1 ? ` in ${duration(wait)}` : " now"}.</strong>
      <span> What you see is from ${clock(state.since)}. Jobs go on without this page.</span></div>
    <${Button} onClick=${state.retry}>Try now<//></div>`;
}

/** @param {{onClose: () => void}} properties */
function Keys({ onClose }) {
  const keys = [["/", "Search"], ["n", "Create a batch job"], ["↓ ↑ or j k", "Next, previous row"], ["Enter", "Open the row"], ["Esc", "Close a dialog, empty the search"], ["?", "This list"]];
  return html`<${Dialog} title="Keyboard" onClose=${onClose}><dl class="keys">${keys.map(([key, text]) => html`<div key=${key}><dt><kbd>${key}</kbd></dt><dd>${text}</dd></div>`)}</dl><//>`;
}

function focusSearch() {
  /** @type {HTMLInputElement|null} */ (document.querySelector("input[type=search]"))?.focus();
}
