// @ts-check
/** What jobs are told apart by: their names, the rest of their metadata, and what files with their results are called. */
import { to } from "../app/router.js";
import { html } from "../app/ui.js";

/** The key of the metadata whose value is a job's name. */
const NAME = "name";
const TAG = /^metadata\[(.*)\]$/s;
/** What is no part of a file's name on one system or another. */
const NO_NAME = /[\\/:*?"<>|\u0000-\u001f\u007f]+/g;
const NAME_LENGTH_MAX = 100;

/** @typedef {Record<string, string>|null|undefined} Metadata */

/** The name that somebody gave a job; empty where nobody did. @param {Metadata} metadata */
const nameOf = (metadata) => metadata?.[NAME]?.trim() ?? "";

/** What a job is called: by its name, or else by its input file. @param {Metadata} metadata @param {string|null|undefined} filename */
export const titleOf = (metadata, filename) => nameOf(metadata) || filename || "(file deleted)";

/** The metadata that is not its title. @param {Metadata} metadata @returns {[string, string][]} */
export const tagsOf = (metadata) => Object.entries(metadata ?? {}).filter(([key]) => key !== NAME || !nameOf(metadata));

/** What a file with results is saved as: `nightly-results.jsonl`. @param {string} title of the job @param {"results"|"errors"} kind */
export function downloadName(title, kind) {
  const stem = title.replace(/\.jsonl$/i, "").replace(NO_NAME, "-").slice(0, NAME_LENGTH_MAX).replace(/^[\s.]+|[\s.]+$/g, "");
  return `${stem || "job"}-${kind}.jsonl`;
}

/** The part of an address that keeps those with a value at a key. @param {string} key */
const tag = (key) => `metadata[${key}]`;

/** The pairs that an address filters by. @param {Record<string, string>} query @returns {[string, string][]} */
export const chosenTags = (query) => Object.entries(query).flatMap(([name, value]) => (TAG.test(name) ? [[name.replace(TAG, "$1"), value]] : []));

/** The same for the service. @param {Record<string, string>} query @returns {Record<string, string>} */
export const tagQuery = (query) => Object.fromEntries(Object.entries(query).filter(([name]) => TAG.test(name)));

/**
 * Metadata as links that filter the list, beside what it is filtered by already. @param {{metadata: Metadata, query?: Record<string, string>}} properties
 */
export function Tags({ metadata, query = {} }) {
  const tags = tagsOf(metadata);
  if (!tags.length) return null;
  return html`<ul class="tags" aria-label="Metadata">${tags.map(([key, value]) => html`<li key=${key}><a class="tag cut" href=${to("/", { ...query, [tag(key)]: value })}
    title=${`Show the jobs with ${key}: ${value}`}><span class="muted">${key}</span> ${value}</a></li>`)}</ul>`;
}

/** What the list is filtered by, each with the way out of it. @param {{query: Record<string, string>}} properties */
export function ChosenTags({ query }) {
  const tags = chosenTags(query);
  if (!tags.length) return null;
  return html`<ul class="tags chosen-tags" aria-label="Filters">${tags.map(([key, value]) => html`<li key=${key}><a class="tag" href=${to("/", { ...query, [tag(key)]: null })}
    aria-label=${`Do not filter by ${key}: ${value}`}><span class="muted">${key}</span> ${value} <span aria-hidden="true">×</span></a></li>`)}</ul>`;
}
