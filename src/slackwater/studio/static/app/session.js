// @ts-check
/** Who uses Studio, and in which resource. The session itself is a cookie that no script can read. */
import { call, whenSignedOut } from "./api.js";
import { computed, signal } from "./ui.js";

/**
 * @typedef {object} Session
 * @property {boolean} signed_in
 * @property {boolean} open whether everybody may use the service, because it has no keys
 * @property {string|null} resource
 * @property {"reader"|"user"|"admin"|null} role
 * @property {string|null} name
 * @property {number|null} expires_at
 * @property {{key: boolean, oidc: string|null}} sign_in the ways in
 * @property {string} version
 * @property {boolean} webhooks
 * @property {boolean} imports
 * @property {string[]} resources those that the caller may switch to
 * @property {boolean} operates whether the caller runs the service, and so may see its engines and servers
 * @property {string} region
 */

/** Null until the service has said. */
export const session = signal(/** @type {Session|null} */ (null));
export const mayAct = computed(() => ["user", "admin"].includes(session.value?.role ?? ""));
export const isAdmin = computed(() => session.value?.role === "admin");

/** Asks who we are. Throws ApiError where the service does not answer. */
export async function findSession() {
  session.value = await call("/studio/session");
}

/** @param {string} key */
export async function signIn(key) {
  session.value = await call("/studio/session", { method: "POST", body: { key } });
}

/** Goes on in another resource; everything that is shown belongs to the one before, so the page begins anew. @param {string} resource */
export async function changeResource(resource) {
  await call("/studio/session", { method: "POST", body: { resource } });
  location.assign("/studio");
}

/** Ends the session, here and at the service. */
export async function signOut() {
  await call("/studio/session", { method: "DELETE" });
  await findSession();
}

whenSignedOut(() => {
  if (session.value?.signed_in) session.value = { ...session.value, signed_in: false };
});
