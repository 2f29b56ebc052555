// @ts-check
/** A dialog of the browser: it keeps the focus inside, closes with Escape, and gives the focus back. */
import { html, useLayoutEffect, useRef, useState } from "../ui.js";
import { Button, Failure } from "./basics.js";

/**
 * Open as long as it is drawn; `onClose` has to take it away.
 * @param {{title: any, onClose: () => void, wide?: boolean, actions?: any, children?: any}} properties
 */
export function Dialog({ title, onClose, wide = false, actions, children }) {
  const dialog = useRef(/** @type {HTMLDialogElement|null} */ (null));
  // Before the browser paints: Escape, pressed as soon as the dialog is seen, has to find it open.
  useLayoutEffect(() => {
    const [before, element] = [document.activeElement, dialog.current];
    element?.showModal();
    return () => {
      // Nothing outside can have the focus while it is open.
      element?.close();
      if (before instanceof HTMLElement && before.isConnected) before.focus();
    };
  }, []);
  const outside = (/** @type {MouseEvent} */ event) => event.target === dialog.current && onClose();
  const cancelled = (/** @type {Event} */ event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${dialog} class=${wide ? "wide" : ""} aria-labelledby="dialog-title" onCancel=${cancelled} onMouseDown=${outside}>
    <div class="dialog-inside">
      <header class="row"><h2 id="dialog-title" class="cut">${title}</h2><span class="push"></span>
        <${Button} kind="quiet" icon="close" label="Close" onClick=${onClose} /></header>
      <div class="dialog-body">${children}</div>
      ${actions && html`<footer class="row">${actions}</footer>`}
    </div>
  </dialog>`;
}

/**
 * Asks before something that cannot be taken back. `act` may fail: its error is shown here, and the dialog stays.
 * @param {{title: string, confirm: string, act: () => Promise<any>, onClose: () => void, kind?: "main"|"bad", children?: any}} properties
 */
export function Confirm({ title, confirm, act, onClose, kind = "bad", children }) {
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState(/** @type {any} */ (null));
  const agreed = async () => {
    setBusy(true);
    try {
      await act();
      onClose();
    } catch (problem) {
      setError(problem);
      setBusy(false);
    }
  };
  const actions = html`<span class="push"></span><${Button} onClick=${onClose}>Not now<//><${Button} kind=${kind} busy=${busy} onClick=${agreed}>${confirm}<//>`;
  return html`<${Dialog} title=${title} onClose=${onClose} actions=${actions}><div class="stack">${children}<${Failure} error=${error} /></div><//>`;
}
