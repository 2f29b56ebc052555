// @ts-check
/** What to do about a fault, by its code. The service says what is wrong; this says the next step. */

/** Faults of an input file. @type {Record<string, string>} */
const OF_FILES = {
  invalid_json_line: "Each line has to be one whole JSON object, with nothing before, between and behind the lines.",
  too_many_tasks: "Cut the file into several with “slackwater split”, and create a job for each.",
  url_mismatch: "All lines need the same “url”, such as /v1/chat/completions.",
  invalid_url: "All lines need the same “url”, such as /v1/chat/completions.",
  model_not_found: "Write the name of a deployment of this service into “model”, or let Studio do it when you create the job.",
  model_mismatch: "All lines of a file need the same “model”. Put the lines for another deployment into a file of their own.",
  mismatched_model: "All lines of a file need the same “model”. Put the lines for another deployment into a file of their own.",
  duplicate_custom_id: "Give each line a “custom_id” of its own; answers are found by it.",
  empty_file: "Choose a file with at least one line.",
  empty_batch: "Choose a file with at least one line.",
  token_limit_exceeded: "Wait until other jobs of this deployment have ended, send a smaller file, or ask an administrator for a larger quota.",
  missing_required_parameter: "Each line needs custom_id, method, url and body; the body needs model and what is asked.",
};

/** Faults of single requests, by code or by status. @type {Record<string, string>} */
const OF_REQUESTS = {
  content_filter: "The content filter stopped these. Change their texts, or ask an administrator about the filter.",
  batch_cancelled: "These were never sent, because the job was cancelled. “Retry failed” sends them in a new job.",
  batch_expired: "These were never sent, because the completion window ended. “Retry failed” sends them in a new job.",
  backend_timeout: "The engine took too long. Retry them later, or ask the operator for a longer timeout.",
  backend_unreachable: "The engine could not be reached. Retry them when it runs again.",
  context_length_exceeded: "These prompts are longer than the model takes. Shorten them, then retry with a corrected file.",
  401: "The engine refused the service’s own key. This is for the operator; retry afterwards.",
  403: "The engine refused these. This is for the operator; retry afterwards.",
  404: "The engine does not know the model or the path. This is for the operator; retry afterwards.",
  429: "The engine was busy for longer than the service tries. Retry them when it is calmer.",
};

/** @param {string|null} code */
export const hintForFile = (code) => OF_FILES[code ?? ""] ?? null;

/** @param {{code: string|null, status_code: number|null}} group */
export function hintForRequest({ code, status_code: status }) {
  const known = OF_REQUESTS[code ?? ""] ?? OF_REQUESTS[String(status)];
  if (known) return known;
  if (status && status >= 500) return "The engine failed. “Retry failed” sends them again in a new job.";
  if (status && status >= 400) return "The engine refused these requests as they are. Correct them in the file; sent again unchanged they will fail again.";
  return null;
}
