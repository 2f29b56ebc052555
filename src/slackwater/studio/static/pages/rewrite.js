// @ts-check
/** Another model name in every line of an input file, without taking the whole file apart in memory at once. */

import { eachLine } from "./repair.js";

/**
 * Lines that are no JSON stay as they are; the check will say so.
 * @param {Blob} blob
 * @param {string} model
 * @param {(lines: number) => void} onLines how many lines have been looked at
 * @returns {Promise<Blob>}
 */
export function withModel(blob, model, onLines) {
  return eachLine(blob, (line) => lineWithModel(line, model), onLines);
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
