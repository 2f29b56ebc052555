// @ts-check
/** The roles of keys, and what each may do. */

export const SLOTS = ["key1", "key2"];
/** @param {string} slot */
export const slotText = (slot) => (slot === "key1" ? "Key 1" : "Key 2");
/** @param {string} slot */
export const otherSlot = (slot) => (slot === "key1" ? "key2" : "key1");

export const ROLES = [
  {
    name: "admin",
    title: "Administrator",
    plural: "administrators",
    means: "May do everything that a user may, and make keys and deployments and read the audit log. For whoever runs this resource; programs rarely need it.",
    none: "Without them, only keys of the configuration, or people of your organisation, administer this resource.",
  },
  {
    name: "user",
    title: "User",
    plural: "users",
    means: "May upload files, create and cancel batch jobs, download results, and keep webhooks. For programs that do the work.",
    none: "Make them for programs that send batch jobs.",
  },
  {
    name: "reader",
    title: "Reader",
    plural: "readers",
    means: "May look at jobs, files, results, usage and webhooks, and change nothing. For dashboards, and for people who only want to see.",
    none: "Make them for whoever only wants to look.",
  },
];

/** @param {string} name */
export const roleOf = (name) => /** @type {any} */ (ROLES.find((role) => role.name === name));

/**
 * A key that was made, as it is shown once. @param {any} key
 */
export const secretOf = (key) => ({ label: `${roleOf(key.role).title}, ${slotText(key.name).toLowerCase()}`, value: key.value });
