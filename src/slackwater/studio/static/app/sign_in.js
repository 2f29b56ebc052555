// @ts-check
/** The way in: with a key, or with the organisation's sign-in where the service has one; and the choice of the resource. */
import { Button, Failure, Field } from "./parts/basics.js";
import { go, place } from "./router.js";
import { changeResource, session, signIn } from "./session.js";
import { toast } from "./toasts.js";
import { html, useRef, useState } from "./ui.js";

const BACK = "slackwater-back";

/** The way over the organisation's sign-in ends at the first page, so where one wanted to go is remembered in this tab. */
const leave = () => sessionStorage.setItem(BACK, location.pathname + location.search);

/** Goes there, when somebody has come back. */
export function comeBack() {
  const address = sessionStorage.getItem(BACK);
  if (!address || !session.value?.signed_in) return;
  sessionStorage.removeItem(BACK);
  if (place.value.path === "/") go(address, { replace: true });
}

/** Shown instead of the page while nobody is signed in; the address stays, so signing in leads to where one wanted to go. */
export function SignIn() {
  const ways = session.value?.sign_in ?? { key: true, oidc: null };
  return html`<main id="main" class="sign-in" tabindex="-1">
    <div class="stack">
      <h1>Sign in to Slackwater Studio</h1>
      ${ways.oidc && html`<${Button} kind="main" href=${ways.oidc} data-leaves onClick=${leave}>Sign in with your organisation<//>`}
      ${ways.oidc && ways.key && html`<p class="muted small">or with a key:</p>`}
      ${ways.key && html`<${KeyForm} />`}
      ${!ways.key && !ways.oidc && html`<p>There are no keys any more, so nobody can sign in. Whoever runs this service makes some with
        <code>slackwater keys create</code> while it is stopped, and starts it again.</p>`}
      ${ways.key && html`<p class="small muted">The key is the one that programs send as <code>api-key</code>. No key? Ask whoever runs this
        service; they make one with <code>slackwater keys create</code>.</p>`}
    </div>
  </main>`;
}

function KeyForm() {
  const field = useRef(/** @type {HTMLInputElement|null} */ (null));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    const key = field.current?.value.trim() ?? "";
    if (!key) return setError(new Error("Type or paste a key first."));
    setBusy(true);
    try {
      await signIn(key);
    } catch (/** @type {any} */ problem) {
      setError(problem.status === 401 ? new Error("This key is not known here. Check that it is whole, and that it belongs to this service.") : problem);
      setBusy(false);
    }
  };
  return html`<form class="stack" onSubmit=${submit}>
    <${Field} label="Key" id="key"><input id="key" ref=${field} type="password" autocomplete="current-password" spellcheck=${false} autofocus /><//>
    <${Failure} error=${error} />
    <${Button} kind="main" type="submit" busy=${busy}>Sign in<//>
  </form>`;
}

/** The resource that is shown; where the caller has more than one, the way to another. */
export function ResourceChoice() {
  const known = session.value;
  if (!known?.resource) return null;
  const names = [...new Set([known.resource, ...(known.resources ?? [])])].sort();
  if (names.length < 2) return html`<p class="cut resource" title=${known.region}><span class="muted small">Resource</span> <strong>${known.resource}</strong></p>`;
  const change = (/** @type {any} */ event) => changeResource(event.target.value).catch((error) => toast(error.message, "bad"));
  return html`<div class="field"><label for="resource" class="small">Resource</label>
    <select id="resource" class="compact" value=${known.resource} onChange=${change}>${names.map((name) => html`<option key=${name} value=${name}>${name}</option>`)}</select></div>`;
}
