// @ts-check
/**
 * The only place that calls the service. Studio uses the public API (the family Azure v1) and the same permissions as any
 * client; the browser sends the session's cookie by itself.
 */
export const API = "/openai/v1";

/** A call that was refused or did not arrive. `message` is a sentence that can be shown as it is. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string|null, param?: string|null, requestId?: string|null, retryAfter?: number|null}} [more]
   */
  constructor(message, more = {}) {
    super(message);
    this.name = "ApiError";
    /** 0: there was no answer at all. */
    this.status = more.status ?? 0;
    this.code = more.code ?? null;
    this.param = more.param ?? null;
    this.requestId = more.requestId ?? null;
    this.retryAfter = more.retryAfter ?? null;
  }

  /** Whether the service could not be reached, or could not answer: the same call may work later. */
  get passing() {
    return this.status === 0 || this.status === 429 || this.status >= 500;
  }
}

/** @type {() => void} */
let onSignedOut = () => {};

/** Says what to do when the service does not know the caller (any more). @param {() => void} action */
export function whenSignedOut(action) {
  onSignedOut = action;
}

/**
 * One call, and the JSON that it answers with. Throws ApiError; an aborted call throws the browser's AbortError.
 * @param {string} path below /openai/v1, or a whole one that starts with /studio
 * @param {{method?: string, body?: any, query?: Record<string, any>, headers?: Record<string, string>, signal?: AbortSignal}} [options]
 * @returns {Promise<any>}
 */
export async function call(path, options = {}) {
  const response = await answer(path, options);
  return response.status === 204 ? null : response.json();
}

/** The same, for an answer that is no JSON. @param {string} path @param {any} [options] @returns {Promise<Response>} */
export async function answer(path, options = {}) {
  const { method = "GET", body, query, headers = {}, signal } = options;
  let response;
  try {
    response = await fetch(address(path, query), {
      method,
      signal,
      headers: { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }), ...headers },
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError("The service does not answer. Is it running, and is this computer connected to it?");
  }
  if (!response.ok) throw refused(response.status, await response.text(), (name) => response.headers.get(name));
  return response;
}

/** The address of a call, with those parts of the query that have a value. @param {string} path @param {Record<string, any>} [query] */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return (path.startsWith("/studio") ? path : API + path) + (text && `?${text}`);
}

/** An id as a part of a path. @param {string} text */
export const part = (text) => encodeURIComponent(text);

/**
 * What an answer that is no success says.
 * @param {number} status
 * @param {string} text
 * @param {(name: string) => string|null} header
 */
function refused(status, text, header) {
  let detail;
  try {
    detail = JSON.parse(text).error;
  } catch {
    detail = null;
  }
  if (status === 401) onSignedOut();
  const message = detail?.message ?? `The service answered with status ${status} and no explanation.`;
  return new ApiError(message, {
    status,
    code: detail?.code,
    param: detail?.param,
    requestId: header("x-request-id"),
    retryAfter: Number(header("retry-after")) || null,
  });
}

/**
 * Uploads a file; XMLHttpRequest, because fetch cannot say how much has been sent.
 * @param {File|Blob} file
 * @param {string} name
 * @param {(share: {sent: number, total: number}) => void} onProgress
 * @param {AbortSignal} signal
 * @returns {Promise<any>} the file object
 */
export function upload(file, name, onProgress, signal) {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append("purpose", "batch");
    form.append("file", file, name);
    request.open("POST", `${API}/files`);
    request.upload.onprogress = (event) => onProgress({ sent: event.loaded, total: event.total });
    request.onload = () => {
      if (request.status < 300) resolve(JSON.parse(request.responseText));
      else reject(refused(request.status, request.responseText, (header) => request.getResponseHeader(header)));
    };
    request.onerror = () => reject(new ApiError("The connection broke while the file was being sent. Nothing was kept; send it again."));
    request.onabort = () => reject(new DOMException("The upload was cancelled.", "AbortError"));
    signal.addEventListener("abort", () => request.abort(), { once: true });
    request.send(form);
  });
}
