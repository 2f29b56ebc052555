// @ts-check
/** The smaller parts of Usage: the choice of the period, the sums, the legend, the quotas, and what to do without prices. */
import { call } from "../app/api.js";
import { money, number, percent, short } from "../app/formats.js";
import { Failure, Notice, Panel, Skeleton } from "../app/parts/basics.js";
import { Icon } from "../app/parts/icons.js";
import { usePoll } from "../app/polling.js";
import { search } from "../app/router.js";
import { html } from "../app/ui.js";
import { colourName } from "./usage_chart.js";
import { PERIODS } from "./usage_data.js";
import { shareOf } from "./usage_table.js";

/** @param {{period: any}} properties */
export function PeriodChoice({ period }) {
  const choose = (/** @type {string} */ name) => search({ period: name === "month" ? null : name, ...(name === "custom" ? { start: period.start, end: period.end } : { start: null, end: null }) });
  return html`<div class="filters"><div class="tabs" role="group" aria-label="Period">${PERIODS.map(
      ([name, text]) => html`<button key=${name} type="button" class="tab" aria-pressed=${period.name === name} onClick=${() => choose(name)}>${text}</button>`)}</div>
    ${period.name === "custom"
      ? html`<div class="row dates"><label for="start">From</label><input id="start" type="date" value=${period.start} onChange=${(/** @type {any} */ event) => search({ start: event.target.value || null })} />
          <label for="end">to</label><input id="end" type="date" value=${period.end} onChange=${(/** @type {any} */ event) => search({ end: event.target.value || null })} /></div>
        ${period.fault && html`<div class="fault small" role="alert"><${Icon} name="warning" />${period.fault}</div>`}`
      : html`<span class="small muted">${period.start} to ${period.end}, days in UTC</span>`}</div>`;
}

/** @param {{total: any[]}} properties */
export function Totals({ total }) {
  const sum = (/** @type {string} */ name) => total.reduce((all, row) => all + row[name], 0);
  const cached = { cached_tokens: sum("cached_tokens"), input_tokens: sum("input_tokens") };
  const costs = total.filter((row) => row.cost !== null);
  const facts = [
    ["Requests completed", number(sum("requests")), ""],
    ["Input tokens", short(cached.input_tokens), number(cached.input_tokens)],
    ["Answered by a cache", shareOf(cached), `${number(cached.cached_tokens)} of ${number(cached.input_tokens)} input tokens`],
    ["Output tokens", short(sum("output_tokens")), `${number(sum("output_tokens"))}, ${number(sum("reasoning_tokens"))} of them reasoning`],
    ["Cost", costs.length ? costs.map((row) => money(row.cost, row.currency)).join(" + ") : "no price set", costs.map((row) => `${row.cost} ${row.currency}`).join(" + ")],
  ];
  return html`<dl class="totals">${facts.map(([name, value, more]) => html`<div key=${name} title=${more}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** What each colour is, with its sum. @param {{series: any[], write: (value: number) => string}} properties */
export function Legend({ series, write }) {
  const whole = series.reduce((sum, each) => sum + each.total, 0);
  return html`<ul class="legend" aria-label="Legend">${series.map((each, index) => html`<li key=${each.name}><i style=${{ background: `var(${colourName(each, index)})` }}></i>
    <span class="cut" title=${each.name}>${each.name}</span><span class="muted nowrap">${write(each.total)} · ${percent(each.total, whole)}</span></li>`)}</ul>`;
}

/** Work that had a price, beside work that had none. */
export const SomePrices = () => html`<${Notice}><p><strong>Some of this work had no price</strong>, so its cost is not known and not in the sums. A <code>[[prices]]</code> section for its model in the
  configuration file of the service counts for jobs that begin afterwards.</p><//>`;

export const NoPrices = () => html`<${Notice}><p><strong>No prices are set, so no cost is known.</strong> Tokens are counted all the same. Prices are for a million tokens, in the
    configuration file of the service, and count for jobs that begin afterwards:</p>
  <pre tabindex="0" role="region" aria-label="Prices in the configuration" class="json"><code>${'[[prices]]\nmodel = "gpt-4o"            # "*" is for all without a price of their own\ninput = "2.50"\ncached_input = "1.25"\noutput = "10.00"\ncurrency = "USD"'}</code></pre>
  <p class="small muted">More about prices, and the discount of batches: docs/usage.md.</p><//>`;

/** How much of each quota is taken now. */
export function Quotas() {
  const known = usePoll((signal) => call("/usages", { signal }), [], { seconds: 5 });
  return html`<${Panel} title="Quotas now"><${Failure} error=${known.error?.passing ? null : known.error} retry=${known.refresh} />
    ${!known.data && !known.error && html`<${Skeleton} lines=${3} height=${34} />`}
    ${known.data && html`<ul class="quotas">${known.data.value.map((/** @type {any} */ each) => html`<li key=${each.name.value}><${OneQuota} quota=${each} /></li>`)}</ul>`}<//>`;
}

/** @param {{quota: any}} properties */
function OneQuota({ quota: { name, currentValue: taken, limit } }) {
  const share = limit ? Math.min(100, (100 * taken) / limit) : 0;
  return html`<span class="cut" title=${name.value}>${name.localizedValue}</span>
    ${limit === null
      ? html`<span class="small muted">no limit</span>`
      : html`<div class="quota-bar" role="meter" aria-label=${name.localizedValue} aria-valuemin="0" aria-valuemax=${limit || 1} aria-valuenow=${Math.min(taken, limit)}><div class=${`quota-held ${taken >= limit ? "full" : ""}`} style=${{ width: `${share}%` }}></div></div>`}
    <span class="number" title=${limit === null ? number(taken) : `${number(taken)} of ${number(limit)}`}>${short(taken)}${limit === null ? "" : html` <span class="muted">/ ${short(limit)}</span>`}</span>`;
}
