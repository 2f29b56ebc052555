// @ts-check
/**
 * Making, rotating and deleting keys. A session ends with the key that it was signed in with; so whoever changes that key is
 * signed in with the new one at once, before anything else is asked of the service.
 */
import { call } from "../app/api.js";
import { Notice } from "../app/parts/basics.js";
import { Confirm } from "../app/parts/dialog.js";
import { ShownOnce } from "../app/parts/once.js";
import { findSession, session, signIn } from "../app/session.js";
import { toast } from "../app/toasts.js";
import { html, useRef, useState } from "../app/ui.js";
import { otherSlot, roleOf, secretOf, slotText } from "./key_words.js";

/** @typedef {{role: string, slot?: string, keys: any[], onClose: () => void, onDone: () => void}} Asked */

/** What was made, and how the session goes on. @typedef {{keys: any[], session: "same"|"new"|"lost"}} Made */

/** Goes on with a new key. @param {string} value @returns {Promise<"new"|"lost">} */
async function goOnWith(value) {
  try {
    await signIn(value);
    return "new";
  } catch {
    return "lost";
  }
}

/**
 * What was made. The question closes itself when it has been answered; that must not close what is shown in its place.
 * @param {() => void} onClose
 */
function useMade(onClose) {
  const [made, setMade] = useState(/** @type {Made|null} */ (null));
  const answered = useRef(false);
  const show = (/** @type {Made} */ what) => {
    answered.current = true;
    setMade(what);
  };
  return { made, show, closeUnlessMade: () => answered.current || onClose() };
}

/** @param {{made: Made, title: string, onClose: () => void, onDone: () => void, children?: any}} properties */
function Shown({ made, title, onClose, onDone, children }) {
  const close = () => {
    onClose();
    onDone();
  };
  return html`<${ShownOnce} title=${title} secrets=${made.keys.map(secretOf)} onClose=${close}>
    ${children}
    ${made.session === "new" && html`<${Notice} kind="good"><p>You are signed in with ${made.keys.length > 1 ? "key 1" : "it"} now.</p><//>`}
    ${made.session === "lost" && html`<${Notice} kind="warn"><p>You could not be signed in with it by itself. Copy it, close this, and sign in with it.</p><//>`}<//>`;
}

/** @param {Asked} properties */
export function MakeKeys({ role, onClose, onDone }) {
  const { made, show, closeUnlessMade } = useMade(onClose);
  const first = session.value?.open;
  const { plural } = roleOf(role);
  if (made) {
    return html`<${Shown} made=${made} title=${`Two keys for ${plural}`} onClose=${onClose} onDone=${onDone}>
      <p class="small muted">Both can do the same. Use one, and keep the other for the day on which you rotate the first.</p><//>`;
  }
  const act = async () => {
    const { data } = await call("/keys", { method: "POST", body: { role } });
    show({ keys: data, session: first ? await goOnWith(data[0].value) : "same" });
  };
  return html`<${Confirm} title=${`Make keys for ${plural}?`} confirm="Make two keys" kind="main" act=${act} onClose=${closeUnlessMade}>
    <p>${roleOf(role).means}</p>
    ${first && html`<${Notice} kind="warn"><strong>This locks the door.</strong><p>From this moment on, every program and every person needs a key. Programs that work without one now are refused until they have one; jobs that run go on.</p><//>`}<//>`;
}

/** @param {Asked} properties */
export function RotateKey({ role, slot = "key1", keys, onClose, onDone }) {
  const { made, show, closeUnlessMade } = useMade(onClose);
  const mine = session.value?.name === `${role}/${slot}`;
  const stored = keys.find((key) => key.role === role && key.name === slot);
  const other = keys.find((key) => key.role === role && key.name === otherSlot(slot));
  const name = slotText(slot).toLowerCase();
  const otherName = slotText(otherSlot(slot)).toLowerCase();
  if (made) {
    return html`<${Shown} made=${made} title=${`The new ${name} of ${roleOf(role).plural}`} onClose=${onClose} onDone=${onDone}>
      <p class="small muted">The old ${name} has stopped working.</p><//>`;
  }
  const act = async () => {
    const { data } = await call(`/keys/${role}/rotate`, { method: "POST", body: { key: slot } });
    const fresh = data.filter((/** @type {any} */ key) => key.value);
    show({ keys: fresh, session: mine ? await goOnWith(fresh[0].value) : "same" });
  };
  if (!stored) {
    return html`<${Confirm} title=${`Make ${name} of ${roleOf(role).plural}?`} confirm="Make it" kind="main" act=${act} onClose=${closeUnlessMade}>
      <p>The other key goes on working.</p><//>`;
  }
  return html`<${Confirm} title=${`Rotate ${name} of ${roleOf(role).plural}?`} confirm=${`Rotate ${name}`} kind="main" act=${act} onClose=${closeUnlessMade}>
    <p>A new key takes its place. <strong>The old one, which ends in <code>${stored.hint.slice(-4)}</code>, stops working at once</strong>, and whoever is signed in to Studio with it is signed out.</p>
    ${other
      ? html`<p>Change programs that use it to ${otherName} first, which ends in <code>${other.hint.slice(-4)}</code> and goes on working. If nobody has ${otherName} any more, rotate that one first.</p>`
      : html`<${Notice} kind="warn"><p>There is no ${otherName} to change over to. Make it first, or programs are refused until they have the new key.</p><//>`}
    ${mine && html`<${Notice}><p>You are signed in with this key. You are signed in with the new one right away.</p><//>`}<//>`;
}

/** @param {Asked} properties */
export function DeleteKeys({ role, keys, onClose, onDone }) {
  const mine = session.value?.name?.startsWith(`${role}/`) && keys.some((key) => `${key.role}/${key.name}` === session.value?.name);
  const last = keys.every((key) => key.role === role);
  const act = async () => {
    await call(`/keys/${role}`, { method: "DELETE" });
    toast(`The keys of ${roleOf(role).plural} are deleted.`);
    await findSession();
    if (session.value?.signed_in) onDone();
  };
  return html`<${Confirm} title=${`Delete the keys of ${roleOf(role).plural}?`} confirm="Delete both keys" act=${act} onClose=${onClose}>
    <p>Programs that use them are refused from this moment on, and whoever is signed in to Studio with them is signed out. Jobs that they have created go on.</p>
    ${mine && html`<${Notice} kind="warn"><p><strong>You are signed in with one of them</strong>, so you will be signed out.</p><//>`}
    ${role === "admin" && !last && html`<${Notice} kind="warn"><p>Afterwards nobody can make keys here, except with a key of the configuration, with your organisation’s sign-in, or with <code>slackwater keys create</code> on the machine of the service.</p><//>`}
    ${last && html`<${Notice} kind="bad"><p><strong>These are the last keys of this resource.</strong> If there are no others, in another resource or in the configuration, this service is open to every program of its machine again; if other machines can reach it, nobody gets in any more until the operator makes keys with <code>slackwater keys create</code>.</p><//>`}<//>`;
}
