// @ts-check
/** Starts Studio: finds out who is there, then draws the page that the address names. */
import { Empty, Button, Failure, Skeleton } from "./parts/basics.js";
import { go, match, place, startRouter, to } from "./router.js";
import { elsewhere, ROUTES } from "./routes.js";
import { findSession, session } from "./session.js";
import { Shell } from "./shell.js";
import { comeBack, SignIn } from "./sign_in.js";
import { html, render, useEffect, useState } from "./ui.js";

/** Modules that have been fetched; a page that was open once is there at once. @type {Map<string, any>} */
const loaded = new Map();

function Studio() {
  const [failure, setFailure] = useState(/** @type {any} */ (null));
  const find = () => findSession().then(() => (comeBack(), setFailure(null)), setFailure);
  useEffect(() => void find(), []);
  const found = ROUTES.map((route) => ({ route, names: match(route.path, place.value.path) })).find((each) => each.names);
  const route = found?.route ?? null;
  const moved = route ? null : elsewhere(place.value);
  useEffect(() => void (moved && go(moved, { replace: true })), [moved]);
  if (failure && !session.value) return html`<main id="main" class="sign-in"><${Failure} title="Studio cannot reach its service." error=${failure} retry=${find} /></main>`;
  if (session.value && !session.value.signed_in) return html`<${SignIn} />`;
  return html`<${Shell} route=${route}>
    ${!session.value && html`<${Skeleton} lines=${6} height=${32} />`}
    ${session.value && route && html`<${Loaded} key=${place.value.path} route=${route} names=${found?.names} />`}
    ${session.value && !route && !moved && html`<${Nothing} />`}
  <//>`;
}

/** A page, as soon as its module is there. @param {{route: import("./routes.js").Route, names: any}} properties */
function Loaded({ route, names }) {
  const [module, setModule] = useState(loaded.get(route.path));
  const [error, setError] = useState(/** @type {any} */ (null));
  useEffect(() => {
    document.title = `${route.title} · Slackwater Studio`;
    if (module) return;
    route.load().then((arrived) => {
      loaded.set(route.path, arrived);
      setModule(arrived);
    }, setError);
  }, [route]);
  if (error) {
    const reason = new Error("This part of Studio could not be loaded. The service may have been updated, or does not answer; load the page again.");
    return html`<${Failure} error=${reason} retry=${() => location.reload()} />`;
  }
  if (!module) return html`<${Skeleton} lines=${6} height=${32} />`;
  return html`<${module.Page} ...${names} />`;
}

const Nothing = () => html`<${Empty} title="There is no such page" icon="search" actions=${html`<${Button} kind="main" href=${to("/")}>Go to the batch jobs<//>`}>
  The address may be mistyped, or come from another version of Studio.<//>`;

startRouter();
render(html`<${Studio} />`, /** @type {HTMLElement} */ (document.getElementById("studio")));
