// @ts-check
/** Takes a request and its result apart into what a person reads, for every endpoint that a batch may have. */

/** @typedef {{who?: string, kind: "text"|"image"|"link"|"json"|"error", text: string}} Part */

/** @param {any} request a line of the input file @returns {Part[]} */
export function promptOf(request) {
  const body = request?.body ?? {};
  if (Array.isArray(body.messages)) {
    const system = body.system ? said("system", body.system, body) : [];
    return [...system, ...body.messages.flatMap((/** @type {any} */ message) => said(message.role, message.content, message))];
  }
  const parts = body.instructions ? [text("instructions", body.instructions)] : [];
  if (Array.isArray(body.images)) parts.push(...body.images.map((/** @type {any} */ each, /** @type {number} */ index) => piece(`image ${index + 1}`, each)));
  if (typeof body.query === "string" && Array.isArray(body.documents)) return [text("query", body.query), ...body.documents.map((/** @type {any} */ each, /** @type {number} */ index) => piece(`document ${index}`, typeof each === "string" ? { text: each } : each))];
  const asked = body.input ?? body.prompt;
  if (typeof asked === "string") return [...parts, text("input", asked)];
  if (Array.isArray(asked) && asked.every((each) => typeof each === "string")) return [...parts, ...asked.map((each, index) => text(`input ${index + 1}`, each))];
  if (Array.isArray(asked)) return [...parts, ...asked.flatMap((each) => said(each?.role ?? each?.type, each?.content, each))];
  return [json(undefined, body)];
}

/** @param {any} result a line of the output or error file @returns {Part[]} */
export function answerOf(result) {
  const body = result?.response?.body;
  const fault = result?.error ?? body?.error;
  if (fault) return [{ who: fault.code ?? "error", kind: "error", text: fault.message ?? JSON.stringify(fault) }];
  if (Array.isArray(body?.choices)) {
    return body.choices.flatMap((/** @type {any} */ choice, /** @type {number} */ index) => {
      const who = body.choices.length > 1 ? `answer ${index + 1}` : (choice.message?.role ?? "answer");
      return choice.message ? said(who, choice.message.content ?? choice.message.refusal, choice.message) : [text(who, choice.text)];
    });
  }
  if (Array.isArray(body?.output)) return body.output.flatMap((/** @type {any} */ each) => said(each.role ?? each.type, each.content, each));
  if (Array.isArray(body?.data) && body.data[0]?.embedding) return body.data.map(vector);
  if (Array.isArray(body?.data) && (body.data[0]?.b64_json || body.data[0]?.url)) return body.data.map(picture(body.output_format));
  if (body?.type === "message" && Array.isArray(body.content)) return said(body.role, body.content, body);
  if (body?.object === "binary") return [text(body.content_type, `${body.bytes} bytes, in base64`)];
  return [json(undefined, body ?? result)];
}

/** What somebody said: a text, or a list of texts and pictures, or calls of tools. @param {string} who @param {any} content @param {any} whole @returns {Part[]} */
function said(who, content, whole) {
  const calls = Array.isArray(whole?.tool_calls) ? [json(`${who} calls`, whole.tool_calls)] : [];
  if (typeof content === "string") return [...(content || !calls.length ? [text(who, content)] : []), ...calls];
  if (Array.isArray(content)) return [...content.map((each, index) => piece(index ? undefined : who, each)), ...calls];
  return calls.length ? calls : [json(who, whole)];
}

/** @param {string|undefined} who @param {any} each @returns {Part} */
function piece(who, each) {
  if (typeof each?.text === "string") return text(who, each.text);
  const url = typeof each?.image_url === "string" ? each.image_url : each?.image_url?.url;
  if (typeof url !== "string") return json(who, each);
  if (/^data:image\/(png|jpeg|gif|webp|avif|bmp)[;,]/i.test(url)) return { who, kind: "image", text: url };
  return /^https?:\/\//i.test(url) ? { who, kind: "link", text: url } : json(who, each);
}

/** @param {string|undefined} format @returns {(each: any, index: number) => Part} */
const picture = (format) => (each, index) => piece(`image ${index + 1}`, { image_url: each.b64_json ? `data:image/${format ?? "png"};base64,${each.b64_json}` : each.url });

/** @param {any} each @param {number} index @returns {Part} */
function vector(each, index) {
  if (!Array.isArray(each.embedding)) return text(`embedding ${index + 1}`, "in base64; see the JSON");
  return text(`embedding ${index + 1}`, `${each.embedding.length} numbers: ${each.embedding.slice(0, 8).join(", ")}, …`);
}

/** @param {string|undefined} who @param {any} value @returns {Part} */
const text = (who, value) => ({ who, kind: "text", text: String(value ?? "") });
/** @param {string|undefined} who @param {any} value @returns {Part} */
const json = (who, value) => ({ who, kind: "json", text: JSON.stringify(value, null, 2) ?? "" });
