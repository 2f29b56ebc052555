// @ts-check
/**
 * What the page shows of a deployment: how it works now (everybody may know), joined with what an administrator knows beside
 * that: who made it, its version for changes, and why it cannot be served where it cannot.
 */
import { call } from "../app/api.js";
import { usePoll } from "../app/polling.js";
import { kindOf } from "./health.js";

/**
 * @typedef {object} Known
 * @property {string} name
 * @property {any} status as `deployment_status` has it; null where it is not served
 * @property {any} made as the control plane has it; null for those who are no administrators
 */

/** @param {boolean} admin */
export function useDeployments(admin) {
  return usePoll(
    async (signal) => {
      const [status, made, regions] = await Promise.all([
        call("/deployment_status", { signal }),
        admin ? call("/deployments", { signal }) : null,
        call("/regions", { signal }),
      ]);
      return { known: joined(status.data, made?.value ?? null), regions };
    },
    [admin],
  );
}

/** @param {any[]} statuses @param {any[]|null} made @returns {Known[]} */
function joined(statuses, made) {
  const names = [...new Set([...statuses.map((each) => each.name), ...(made ?? []).map((each) => each.name)])].sort();
  return names.map((name) => ({
    name,
    status: statuses.find((each) => each.name === name) ?? null,
    made: made?.find((each) => each.name === name) ?? null,
  }));
}

/** @param {Known} each @returns {"serving"|"draining"|"failed"} */
export function stateOf({ status, made }) {
  if (made?.properties.provisioningState === "Failed" || !status) return "failed";
  return status.accepts ? "serving" : "draining";
}

/** Its pill: that of its backends, unless it takes nothing at all. @param {Known} each */
export function kindOfAny(each) {
  const state = stateOf(each);
  return state === "serving" ? kindOf(each.status) : state;
}

/** Whether it can be changed from here. @param {Known} each */
export const isOfConfiguration = ({ made }) => made?.properties.slackwater.source === "configuration";

/** Quota as the page needs it, from either side. @param {Known} each */
export function quotaOf({ status, made }) {
  if (status) return status.quota;
  const { enqueuedTokens, enqueuedTokenLimit } = made.properties.slackwater;
  return { held: enqueuedTokens, waiting: 0, waiting_batches: 0, limit: enqueuedTokenLimit, limit_now: enqueuedTokenLimit, dynamic: false, when_full: null };
}
