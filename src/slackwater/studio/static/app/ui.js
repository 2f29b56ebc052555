// @ts-check
/** What every page imports to draw itself: Preact, htm (templates without a compiler) and signals, from one place. */
import { h, render } from "../vendor/preact.mjs";
import htm from "../vendor/htm.mjs";
import { computed as makeComputed, signal as makeSignal } from "../vendor/signals.mjs";

export { render };
export { useEffect, useLayoutEffect, useMemo, useRef, useState, useCallback } from "../vendor/preact_hooks.mjs";
export { effect } from "../vendor/signals.mjs";

/**
 * A value that pages follow: whatever reads `value` while it is drawn is drawn again when that changes.
 * @type {<T>(initial: T) => {value: T}}
 */
export const signal = makeSignal;
/** A value that follows from others. @type {<T>(make: () => T) => {readonly value: T}} */
export const computed = makeComputed;

/** Writes elements: html`<p class="muted">${text}</p>`. Values are always text, never markup. */
export const html = htm.bind(h);
