// @ts-check
/** Keys: what each role may do, its two keys, and changing them without locking anybody out, oneself included. */
import { call } from "../app/api.js";
import { Button, Empty, Failure, Heading, Notice, Panel, Skeleton, Time } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { useLoad } from "../app/polling.js";
import { to } from "../app/router.js";
import { isAdmin, session } from "../app/session.js";
import { html, useState } from "../app/ui.js";
import { DeleteKeys, MakeKeys, RotateKey } from "./key_dialogs.js";
import { ROLES, SLOTS, slotText } from "./key_words.js";

export function Page() {
  if (!isAdmin.value) {
    return html`<${Heading} title="Keys" /><${Empty} title="Only administrators see keys" icon="keys" actions=${html`<${Button} kind="main" href=${to("/")}>Go to the batch jobs<//>`}>
      You are signed in with the role ${session.value?.role}. Ask an administrator, or sign out and sign in with a key of the role admin.<//>`;
  }
  return html`<${Heading} title="Keys" /><${List} />`;
}

function List() {
  // Asked once: nothing here may ask while the session's own key is being changed.
  const list = useLoad((signal) => call("/keys", { signal }), []);
  const [asked, setAsked] = useState(/** @type {{what: "make"|"rotate"|"delete", role: string, slot?: string}|null} */ (null));
  const keys = list.data?.data ?? null;
  const close = () => setAsked(null);
  const open = session.value?.open;
  const props = { ...asked, keys, onClose: close, onDone: list.refresh };
  return html`
    ${open && html`<div class="below"><${Notice} kind="warn"><strong>This service has no keys: whoever reaches it may do everything.</strong>
      <p>The first keys lock the door to everybody else at once: from then on, programs need a key, and people sign in. Make the administrator’s keys first; you are signed in with one of them right away.</p><//></div>`}
    <${Failure} error=${list.error} retry=${list.refresh} />
    ${!keys && !list.error && html`<${Skeleton} lines=${3} height=${150} />`}
    ${keys && html`<div class="stack">${ROLES.map((role) => html`<${RolePanel} key=${role.name} role=${role} keys=${keys} ask=${setAsked} />`)}
      <${Elsewhere} /></div>`}
    ${asked?.what === "make" && html`<${MakeKeys} ...${props} />`}
    ${asked?.what === "rotate" && html`<${RotateKey} ...${props} />`}
    ${asked?.what === "delete" && html`<${DeleteKeys} ...${props} />`}`;
}

/** @param {{role: any, keys: any[], ask: (what: any) => void}} properties */
function RolePanel({ role, keys, ask }) {
  const own = keys.filter((key) => key.role === role.name);
  const first = session.value?.open && role.name !== "admin";
  const make = html`<${Button} kind=${session.value?.open ? "main" : "plain"} icon="plus" disabled=${first} why="Make the administrator’s keys first: with any key the door is locked, and only an administrator can make more."
    aria-label=${`Make keys for ${role.plural}`} onClick=${() => ask({ what: "make", role: role.name })}>Make keys<//>`;
  const remove = html`<${Button} kind="quiet" aria-label=${`Delete the keys of ${role.plural}`} onClick=${() => ask({ what: "delete", role: role.name })}>Delete both<//>`;
  return html`<${Panel} title=${role.title} actions=${own.length ? remove : make}>
    <p class="muted">${role.means}</p>
    ${own.length === 0
      ? html`<p class="key-none">No keys. ${first ? "Make the administrator’s keys first." : session.value?.open ? "Make these first." : role.none}</p>`
      : html`<ul class="keys-of-role">${SLOTS.map((slot) => html`<${KeyRow} key=${slot} slot=${slot} stored=${own.find((key) => key.name === slot)} role=${role} ask=${ask} />`)}</ul>`}<//>`;
}

/** @param {{slot: string, stored: any, role: any, ask: (what: any) => void}} properties */
function KeyRow({ slot, stored, role, ask }) {
  const mine = session.value?.name === `${role.name}/${slot}`;
  return html`<li><span class="key-name"><${Icon} name="keys" /><strong>${slotText(slot)}</strong></span>
    <code class="key-hint">${stored ? `sw-…${stored.hint.slice(-4)}` : "none"}</code>
    <span class="muted key-made">${stored && html`made <${Time} at=${stored.created_at} relative />`}</span>
    <span class="key-mine">${mine && html`<span class="pill busy"><${Icon} name="check" />You are signed in with it</span>`}</span>
    <${Button} icon="retry" aria-label=${`${stored ? "Rotate" : "Make"} ${slotText(slot)} of ${role.plural}`} onClick=${() => ask({ what: "rotate", role: role.name, slot })}>${stored ? "Rotate" : "Make"}<//></li>`;
}

const Elsewhere = () => html`<p class="small muted">These are the keys of the resource <strong>${session.value?.resource}</strong>. Keys that the operator has put into the configuration
  (<code>api_key_envs</code> under <code>[server]</code>) are administrators everywhere and are not shown here; nor are people who sign in with their organisation.
  What is done here is in the <a href=${to("/audit", { action: "key" })}>audit log</a>, without the keys.</p>`;
