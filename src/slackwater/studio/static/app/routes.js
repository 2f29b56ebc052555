// @ts-check
/**
 * Every page, once: its path, its module, and its place in the navigation. A module is fetched when its page is opened; it
 * exports `Page`, a component that gets what stands in the path as properties. The first route that fits is taken.
 */

import { match, to } from "./router.js";

/**
 * @typedef {object} Route
 * @property {string} path below /studio; ":name" fits one part
 * @property {string} title
 * @property {() => Promise<{Page: any}>} load
 * @property {string} [icon] in the navigation; without one, the page is reached from others
 * @property {string} [under] the path that is marked in the navigation while this page is shown
 * @property {"admin"|"service"} [needs] without which it is not offered: the role, or that the caller runs the service
 */

/**
 * Addresses that people type, remember or have in an old link, and where each leads: a path, and a query that is added to its own.
 * Asked only where there is no page.
 * @type {[string, (names: Record<string, string>) => [string, Record<string, string>?]][]}
 */
const ELSEWHERE = [
  ["/batches", () => ["/"]],
  ["/jobs", () => ["/"]],
  ["/jobs/new", () => ["/batches/new"]],
  ["/create", () => ["/batches/new"]],
  ["/jobs/:id", ({ id }) => [`/batches/${encodeURIComponent(id)}`]],
  ["/batch/:id", ({ id }) => [`/batches/${encodeURIComponent(id)}`]],
  ["/files/:id", ({ id }) => ["/files", { file: id }]],
  ["/deployments/:name", ({ name }) => ["/deployments", { search: name }]],
  ["/models", () => ["/deployments"]],
  ["/engines", () => ["/deployments"]],
  ["/workers", () => ["/servers"]],
  ["/members", () => ["/servers"]],
];

/** The address that another one leads to; null where there is none. @param {{path: string, query: Record<string, string>}} place */
export function elsewhere({ path, query }) {
  for (const [pattern, leads] of ELSEWHERE) {
    const names = match(pattern, path);
    if (!names) continue;
    const [found, more] = leads(names);
    return to(found, { ...query, ...more });
  }
  return null;
}

/** @type {Route[]} */
export const ROUTES = [
  { path: "/", title: "Batch jobs", icon: "jobs", load: () => import("../pages/batches.js") },
  { path: "/batches/new", title: "Create batch job", under: "/", load: () => import("../pages/create.js") },
  { path: "/batches/:id", title: "Batch job", under: "/", load: () => import("../pages/batch.js") },
  { path: "/files", title: "Files", icon: "files", load: () => import("../pages/files.js") },
  { path: "/deployments", title: "Deployments", icon: "deployments", load: () => import("../pages/deployments.js") },
  { path: "/servers", title: "Servers", icon: "servers", needs: "service", load: () => import("../pages/servers.js") },
  { path: "/usage", title: "Usage", icon: "usage", load: () => import("../pages/usage.js") },
  { path: "/webhooks", title: "Webhooks", icon: "webhooks", load: () => import("../pages/webhooks.js") },
  { path: "/webhooks/:id", title: "Webhook", under: "/webhooks", load: () => import("../pages/webhook.js") },
  { path: "/keys", title: "Keys", icon: "keys", needs: "admin", load: () => import("../pages/keys.js") },
  { path: "/audit", title: "Audit log", icon: "audit", needs: "admin", load: () => import("../pages/audit.js") },
];
