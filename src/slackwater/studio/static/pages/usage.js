// @ts-check
/** Usage: what was completed and what it cost, by day and deployment, and how much of the quotas is taken. */
import { address, call } from "../app/api.js";
import { money, number } from "../app/formats.js";
import { Button, Empty, Failure, Heading, Panel, Skeleton } from "../app/parts/basics.js";
import { usePoll } from "../app/polling.js";
import { place, search, to } from "../app/router.js";
import { html } from "../app/ui.js";
import { Chart } from "./usage_chart.js";
import { currenciesOf, daysOf, MEASURES, periodOf, seriesOf } from "./usage_data.js";
import { Legend, NoPrices, PeriodChoice, Quotas, SomePrices, Totals } from "./usage_parts.js";
import { UsageTable } from "./usage_table.js";

const SECONDS = 15;

export function Page() {
  const query = place.value.query;
  const period = periodOf(query, Date.now());
  const by = query.by === "model" ? "model" : "deployment";
  const asked = { start: period.start, end: period.end, group_by: `day,${by}` };
  const list = usePoll(async (signal) => (period.fault ? null : { asked, report: await call("/usage", { query: asked, signal }) }), [period.start, period.end, by], { seconds: SECONDS });
  // While another period is on its way, what is shown goes on saying which one it is.
  const { report, asked: shown } = list.data ?? {};
  const csv = html`<${Button} icon="download" href=${address("/usage", { ...asked, format: "csv" })} download="usage.csv" disabled=${Boolean(period.fault)} why=${period.fault ?? ""}>CSV<//>`;
  return html`
    <${Heading} title="Usage" actions=${csv} />
    <${PeriodChoice} period=${period} />
    <div class="stack">
      <${Failure} error=${list.error?.passing ? null : list.error} retry=${list.refresh} />
      ${!report && !list.error && !period.fault && html`<${Skeleton} lines=${1} height=${76} /><${Skeleton} lines=${1} height=${430} />`}
      ${report?.data.length === 0 && html`<${NothingYet} period=${period} />`}
      ${report?.data.length > 0 && html`<${Report} report=${report} by=${by} query=${query} days=${daysOf(shown.start, shown.end)} />`}
      <${Quotas} />
    </div>`;
}

/** @param {{report: any, by: string, query: Record<string, string>, days: string[]}} properties */
function Report({ report, by, query, days }) {
  const { currencies, unpriced } = currenciesOf(report);
  const currency = currencies.includes(query.currency) ? query.currency : currencies[0];
  const measure = query.measure === "cost" && !currencies.length ? "tokens" : query.measure in MEASURES ? query.measure : "tokens";
  const { unit, of, text } = MEASURES[measure];
  const rows = measure === "cost" ? report.data.filter((/** @type {any} */ row) => row.currency === currency) : report.data;
  const series = seriesOf(rows, days, by, of);
  const write = (/** @type {number} */ value) => (measure === "cost" ? money(String(value), currency) : `${number(value)} ${unit}`);
  const actions = html`<${Choice} label="Measure" name="measure" chosen=${measure} options=${Object.entries(MEASURES).map(([name, each]) => [name, each.text, name === "cost" && !currencies.length])} />
    ${measure === "cost" && currencies.length > 1 && html`<${Choice} label="Currency" name="currency" chosen=${currency} options=${currencies.map((/** @type {string} */ each) => [each, each])} />`}
    <${Choice} label="Kept apart" name="by" chosen=${by} options=${[["deployment", "By deployment"], ["model", "By model"]]} />`;
  return html`
    <${Totals} total=${report.total} />
    ${unpriced && !currencies.length && html`<${NoPrices} />`}
    <${Panel} title=${`${text} by day`} actions=${actions}>
      <${Chart} days=${days} series=${series} write=${write} label=${summary(text, days, series, write)} /><${Legend} series=${series} write=${write} /><//>
    ${unpriced && currencies.length > 0 && html`<${SomePrices} />`}
    <${Panel} title="In figures"><${UsageTable} rows=${report.data} total=${report.total} by=${by} /><//>`;
}

/** @param {{label: string, name: string, chosen: string, options: any[]}} properties */
const Choice = ({ label, name, chosen, options }) => html`<div class="tabs" role="group" aria-label=${label}>${options.map(
  ([value, text, off]) => html`<button key=${value} type="button" class="tab" aria-pressed=${chosen === value} disabled=${off} title=${off ? "There are no prices yet." : undefined} onClick=${() => search({ [name]: value })}>${text}</button>`,
)}</div>`;

/** What somebody sees in the chart, in words. @param {string} text @param {string[]} days @param {any[]} series @param {(value: number) => string} write */
function summary(text, days, series, write) {
  const sums = days.map((_, index) => series.reduce((sum, each) => sum + each.values[index], 0));
  const most = sums.indexOf(Math.max(...sums));
  const parts = series.map((each) => `${each.name} ${write(each.total)}`).join(", ");
  return `${text} by day from ${days[0]} to ${days.at(-1)}: ${parts}. The most was ${write(sums[most])} on ${days[most]}. The table below has every figure.`;
}

/** @param {{period: any}} properties */
function NothingYet({ period }) {
  const actions = html`<${Button} href=${to("/usage", { period: "90" })}>Show 90 days<//><${Button} kind="main" icon="plus" href=${to("/batches/new")}>Create batch job<//>`;
  return html`<${Empty} title="Nothing was completed in these days" icon="usage" actions=${actions}>From ${period.start} to ${period.end} no request was answered. Each answered request of a
    batch job is counted on the day on which it was completed, with its tokens and, where there is a price, its cost.<//>`;
}
