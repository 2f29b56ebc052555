// @ts-check
/** Another model name in every line of an input file, without taking the whole file apart in memory at once. */

/**
 * Lines that are no JSON stay as they are; the check will say so.
 * @param {Blob} blob
 * @param {string} model
 * @param {(lines: number) => void} onLines how many lines have been looked at
 * @returns {Promise<Blob>}
 */
export async function withModel(blob, model, onLines) {
  const pieces = [];
  let rest = "";
  let lines = 0;
  const reader = blob.stream().pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    const text = rest + (value ?? "");
    const end = done ? text.length : text.lastIndexOf("\n") + 1;
    rest = text.slice(end);
    const whole = text.slice(0, end).split("\n");
    // A Blob of its own for each piece, so that the browser may keep them on disk.
    pieces.push(new Blob([whole.map((line) => lineWithModel(line, model)).join("\n")]));
    lines += whole.length - 1;
    onLines(lines);
    if (done) return new Blob(pieces, { type: "application/jsonl" });
  }
}

/**
 * Only the name changes where it can be found as text: numbers and escapes keep their spelling.
 * @param {string} line
 * @param {string} model
 */
export function lineWithModel(line, model) {
  if (!line.trim()) return line;
  let request;
  try {
    request = JSON.parse(line);
  } catch {
    return line;
  }
  if (typeof request?.body !== "object" || request.body === null || Array.isArray(request.body)) return line;
  const old = request.body.model;
  const member = /"model"\s*:\s*"(?:[^"\\]|\\.)*"/g;
  const found = line.match(member) ?? [];
  if (typeof old === "string" && found.length === 1) return line.replace(member, () => `"model": ${JSON.stringify(model)}`);
  request.body.model = model;
  return JSON.stringify(request);
}
