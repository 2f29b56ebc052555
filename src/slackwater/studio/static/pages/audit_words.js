// @ts-check
/** What the operations of the log are called for people, and where their objects are shown. */
import { to } from "../app/router.js";

/** By the name of the operation; what is not here is written as it is called. @type {Record<string, string>} */
const WORDS = {
  upload_file: "Uploaded a file",
  import_file: "Imported a file",
  delete_file: "Deleted a file",
  create_upload: "Began an upload in parts",
  add_upload_part: "Uploaded a part",
  complete_upload: "Completed an upload",
  cancel_upload: "Cancelled an upload",
  validate_file: "Checked a file",
  create_batch: "Created a job",
  create_batch_of_deployment: "Created a job",
  cancel_batch: "Cancelled a job",
  retry_batch: "Retried a job",
  pause_batch: "Paused a job",
  resume_batch: "Resumed a job",
  try_batch: "Tried a job at once",
  create_webhook_endpoint: "Added a webhook",
  update_webhook_endpoint: "Changed a webhook",
  delete_webhook_endpoint: "Deleted a webhook",
  rotate_webhook_secret: "Rotated a webhook’s secret",
  test_webhook_endpoint: "Tested a webhook",
  put_deployment: "Made or replaced a deployment",
  change_deployment: "Changed a deployment",
  delete_deployment: "Deleted a deployment",
  pause_deployment: "Paused a deployment",
  resume_deployment: "Resumed a deployment",
  try_deployment: "Tried a deployment at once",
  put_connection: "Added or replaced an engine",
  change_connection: "Changed an added engine",
  delete_connection: "Removed an added engine",
  test_new_connection: "Tested an engine",
  test_connection: "Tested an added engine",
  find_engines: "Looked for engines",
  pause_engine: "Paused an engine",
  resume_engine: "Resumed an engine",
  pace_engine: "Set the pace of an engine",
  try_engine: "Tried an engine at once",
  create_keys: "Made keys",
  rotate_key: "Rotated a key",
  delete_keys: "Deleted keys",
};

export const ACTIONS = Object.keys(WORDS);

/** The names of operations at the vendors' other place mean the same. @param {string} action */
export function actionText(action) {
  const plain = action.replace("dashboard_", "");
  return WORDS[plain] ?? plain.charAt(0).toUpperCase() + plain.slice(1).replaceAll("_", " ");
}

/** Where Studio shows what an entry is about; null where it is gone, or has no page. @param {any} entry */
export function linkOf({ action, target }) {
  if (action.startsWith("delete_")) return null;
  if (/^batch[_-]/.test(target)) return to(`/batches/${encodeURIComponent(target)}`);
  if (/^(file|assistant)-/.test(target)) return to("/files", { file: target });
  if (target.startsWith("whe_")) return to(`/webhooks/${encodeURIComponent(target)}`);
  if (action.includes("deployment") || action.endsWith("_connection")) return to("/deployments");
  if (action.includes("key")) return to("/keys");
  return null;
}
