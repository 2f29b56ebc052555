// @ts-check
/** The rows of the account, to be sorted by any column. */
import { money, number } from "../app/formats.js";
import { Button } from "../app/parts/basics.js";
import { html, useState } from "../app/ui.js";
import { nameOf } from "./usage_data.js";

const SHOWN = 30;

/** @param {string} by */
const columns = (by) => [
  { name: "day", text: "Day", of: (/** @type {any} */ row) => row.day, first: -1 },
  { name: by, text: by === "model" ? "Model" : "Deployment", of: (/** @type {any} */ row) => nameOf(row, by), first: 1 },
  { name: "requests", text: "Requests", of: (/** @type {any} */ row) => row.requests, first: -1, number: true },
  { name: "input_tokens", text: "Input tokens", of: (/** @type {any} */ row) => row.input_tokens, first: -1, number: true },
  { name: "cached_tokens", text: "Cached", of: (/** @type {any} */ row) => row.cached_tokens, first: -1, number: true, share: true },
  { name: "output_tokens", text: "Output tokens", of: (/** @type {any} */ row) => row.output_tokens, first: -1, number: true },
  { name: "cost", text: "Cost", of: (/** @type {any} */ row) => (row.cost === null ? -1 : Number(row.cost)), first: -1, number: true },
];

/** @param {{rows: any[], total: any[], by: string}} properties */
export function UsageTable({ rows, total, by }) {
  const [order, setOrder] = useState({ name: "day", way: -1 });
  const [all, setAll] = useState(false);
  const known = columns(by);
  const column = known.find((each) => each.name === order.name) ?? known[0];
  const sorted = [...rows].sort((one, other) => order.way * compare(column.of(one), column.of(other)) || compare(other.day, one.day) || compare(nameOf(one, by), nameOf(other, by)));
  const shown = all ? sorted : sorted.slice(0, SHOWN);
  const press = (/** @type {any} */ each) => setOrder({ name: each.name, way: column.name === each.name ? -order.way : each.first });
  return html`<div class="table inner" role="region" tabindex="0" aria-label="Usage by day"><table class="cards usage">
      <thead><tr>${known.map((each) => html`<th key=${each.name} scope="col" class=${each.number ? "number" : ""} aria-sort=${column.name !== each.name ? "none" : order.way > 0 ? "ascending" : "descending"}>
        <button type="button" class="sort" onClick=${() => press(each)}>${each.text}<span aria-hidden="true" class="sort-way">${column.name === each.name ? (order.way > 0 ? "↑" : "↓") : ""}</span></button>${each.share && html` <span class="small share"></span>`}</th>`)}</tr></thead>
      <tbody>${shown.map((row) => html`<${Row} key=${`${row.day} ${row[by]} ${row.currency}`} row=${row} day=${row.day} name=${nameOf(row, by)} />`)}</tbody>
      <tfoot>${total.map((row) => html`<${Row} key=${row.currency} row=${row} day="Total" name=${total.length > 1 ? (row.currency ?? "without a price") : ""} />`)}</tfoot></table></div>
    ${sorted.length > shown.length && html`<div class="more"><${Button} onClick=${() => setAll(true)}>Show all ${number(sorted.length)} rows<//></div>`}`;
}

/** @param {{row: any, day: string, name: string}} properties */
function Row({ row, day, name }) {
  return html`<tr><td class="nowrap">${day}</td><td class="breaks">${name}</td><td class="number" data-label="Requests">${number(row.requests)}</td>
    <td class="number" data-label="Input tokens">${number(row.input_tokens)}</td>
    <td class="number" data-label="Cached" title=${number(row.cached_tokens)}>${number(row.cached_tokens)} <span class="muted small share">${shareOf(row)}</span></td>
    <td class="number" data-label="Output tokens">${number(row.output_tokens)}</td>
    <td class="number" data-label="Cost" title=${row.cost ?? ""}>${row.cost === null ? html`<span class="muted">no price</span>` : money(row.cost, row.currency)}</td></tr>`;
}

/** How much of the input a cache has answered. @param {any} row */
export function shareOf({ cached_tokens: cached, input_tokens: input }) {
  const share = input ? (100 * cached) / input : 0;
  return `${share > 0 && share < 1 ? "<1" : Math.round(share)} %`;
}

/** @param {any} one @param {any} other */
const compare = (one, other) => (typeof one === "number" ? one - other : String(one).localeCompare(String(other)));
