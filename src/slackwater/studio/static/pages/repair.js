// @ts-check
/**
 * Copies of an input file in which one thing is put right. The file itself is never touched. Text is read piece by piece, and each piece
 * becomes a Blob of its own, so that the browser may keep them on disk.
 */

const PEEK = 1 << 16;
const NAMES = { mark: "begins with a byte order mark", utf16: "is written in UTF-16", array: "is one JSON array", pretty: "has JSON objects over several lines", table: "is a table, and no JSON lines" };

/** @typedef {keyof typeof NAMES} Fault what is wrong with a file as a whole */

/** In words, behind the name of the file. @param {Fault} fault */
export const said = (fault) => NAMES[fault];
/** Whether a copy can be put right here. @param {Fault} fault */
export const repairable = (fault) => fault !== "table";
/** The name of a copy: that it is one can be seen. @param {string} name */
export const copyName = (name) => `${name.replace(/\.(jsonl|json|txt|csv|tsv)$/i, "").replace(/-repaired$/, "")}-repaired.jsonl`;

/** What is wrong with a file as a whole, by its first bytes; null where nothing is. @param {Blob} blob @param {string} name @returns {Promise<Fault|null>} */
export async function faultOf(blob, name) {
  const head = new Uint8Array(await blob.slice(0, PEEK).arrayBuffer());
  if (encodingOf(head) !== "utf-8") return "utf16";
  const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(head);
  if (text.startsWith("\ufeff")) return "mark";
  const shown = text.trimStart();
  if (shown.startsWith("[")) return "array";
  const [first] = shown.split(/\r?\n/, 1);
  if (shown.startsWith("{")) return /^\{\s*$/.test(first) || (!isJson(first) && /^\{\s*"[^"]*"\s*:\s*[{[]?\s*$/.test(first)) ? "pretty" : null;
  return /\.(csv|tsv)$/i.test(name) || (first && !isJson(first) && /[,;\t]/.test(first)) ? "table" : null;
}

/** @param {Uint8Array} head @returns {"utf-8"|"utf-16le"|"utf-16be"} */
function encodingOf(head) {
  if (head[0] === 0xff && head[1] === 0xfe) return "utf-16le";
  if (head[0] === 0xfe && head[1] === 0xff) return "utf-16be";
  // Without a mark: of the two bytes of a brace or a blank, one is zero.
  if (head.length > 3 && head[0] !== 0 && head[1] === 0 && head[3] === 0) return "utf-16le";
  return head.length > 3 && head[0] === 0 && head[1] !== 0 && head[2] === 0 ? "utf-16be" : "utf-8";
}

/** @param {string} text */
function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** A copy in UTF-8, with one JSON object on each line. @param {Blob} blob @param {(lines: number) => void} onLines @returns {Promise<Blob>} */
export async function asLines(blob, onLines) {
  const encoding = encodingOf(new Uint8Array(await blob.slice(0, 4).arrayBuffer()));
  const splitter = new Objects();
  const pieces = [];
  const reader = blob.stream().pipeThrough(new TextDecoderStream(encoding)).getReader();
  for (;;) {
    const { done, value } = await reader.read();
    if (value) pieces.push(new Blob([splitter.add(value)]));
    onLines(splitter.count);
    if (done) break;
  }
  pieces.push(new Blob([splitter.end()]));
  return new Blob(pieces, { type: "application/jsonl" });
}

/** Finds the objects of a text, inside an array or one behind the other, and writes each on a line. Numbers and escapes keep their spelling. */
class Objects {
  constructor() {
    this.count = 0;
    this.depth = 0;
    this.quoted = false;
    this.escaped = false;
    this.outside = "";
  }

  /** @param {string} text @returns {string} what of it is whole or under way, with what stands between objects left out */
  add(text) {
    let out = "";
    let from = this.depth ? 0 : -1;
    for (let at = 0; at < text.length; at += 1) {
      const sign = text[at];
      if (this.quoted) {
        if (this.escaped) this.escaped = false;
        else if (sign === "\\") this.escaped = true;
        else if (sign === '"') this.quoted = false;
        continue;
      }
      if (this.depth && (sign === "\n" || sign === "\r")) {
        out += text.slice(from, at);
        from = at + 1;
      } else if (sign === '"' && this.depth) this.quoted = true;
      else if (sign === "{") {
        if (!this.depth) from = at;
        this.depth += 1;
      } else if (sign === "}" && this.depth) {
        this.depth -= 1;
        if (!this.depth) {
          out += `${text.slice(from, at + 1)}\n`;
          from = -1;
          this.count += 1;
        }
      } else if (!this.depth && !/[\s,[\]\ufeff]/.test(sign)) {
        // What is no object is not lost: it stays on a line of its own, and the check says what is wrong with it.
        out += sign;
        if (text[at + 1] === undefined || /[\s,[\]{]/.test(text[at + 1])) out += "\n";
      }
    }
    return from >= 0 && this.depth ? out + text.slice(from) : out;
  }

  /** What is left where a text ends within an object. */
  end() {
    return this.depth ? "\n" : "";
  }
}

/**
 * A copy in which each line that has no custom_id has one: `request-` and the number of its line, or another where that is taken.
 * @param {Blob} blob @param {(lines: number) => void} onLines @returns {Promise<Blob>}
 */
export async function withIds(blob, onLines) {
  const taken = new Set();
  await eachLine(blob, (line) => {
    const id = requestIn(line)?.custom_id;
    if (typeof id === "string") taken.add(id);
    return "";
  }, () => {});
  let number = 0;
  return eachLine(blob, (line) => {
    number += 1;
    const request = requestIn(line);
    if (!request || (typeof request.custom_id === "string" && request.custom_id)) return line;
    let id = request.custom_id === undefined || request.custom_id === null || request.custom_id === "" ? `request-${number}` : String(request.custom_id);
    for (let more = 2; taken.has(id); more += 1) id = `request-${number}-${more}`;
    taken.add(id);
    if (!("custom_id" in request)) return line.replace("{", () => `{"custom_id": ${JSON.stringify(id)}, `);
    return JSON.stringify({ ...request, custom_id: id });
  }, onLines);
}

/** @param {string} line @returns {any} a request; null where it is none */
function requestIn(line) {
  try {
    const read = JSON.parse(line);
    return typeof read === "object" && read !== null && !Array.isArray(read) ? read : null;
  } catch {
    return null;
  }
}

/**
 * A copy with each line as `change` wants it.
 * @param {Blob} blob @param {(line: string) => string} change @param {(lines: number) => void} onLines how many lines have been looked at
 * @returns {Promise<Blob>}
 */
export async function eachLine(blob, change, onLines) {
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
    // The last one is empty, or the end of the file.
    const last = whole.pop() ?? "";
    pieces.push(new Blob([whole.map((line) => `${change(line)}\n`).join(""), last && change(last)]));
    lines += whole.length + (last ? 1 : 0);
    onLines(lines);
    if (done) return new Blob(pieces, { type: "application/jsonl" });
  }
}
