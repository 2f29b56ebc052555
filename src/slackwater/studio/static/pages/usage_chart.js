// @ts-check
/**
 * Bars of days, a colour for each deployment. Chart.js is fetched when this is first drawn, and by this page alone. What it
 * draws, the legend and the table say in words, too.
 */
import { short } from "../app/formats.js";
import { Notice } from "../app/parts/basics.js";
import { theme } from "../app/theme.js";
import { html, useEffect, useRef, useState } from "../app/ui.js";

const colour = (/** @type {string} */ name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
/** @param {any} series @param {number} index */
export const colourName = (series, index) => (series.others ? "--series-others" : `--series-${index + 1}`);

/** @param {{days: string[], series: any[], label: string, write: (value: number) => string}} properties write: a value in words */
export function Chart({ days, series, label, write }) {
  const canvas = useRef(/** @type {HTMLCanvasElement|null} */ (null));
  const chart = useRef(/** @type {any} */ (null));
  const [failed, setFailed] = useState(false);
  const [ready, setReady] = useState(false);
  const system = useSystemTheme();
  useEffect(() => {
    let gone = false;
    import("../vendor/chart.js").then(() => !gone && setReady(true), () => setFailed(true));
    return () => {
      gone = true;
      chart.current?.destroy();
      chart.current = null;
    };
  }, []);
  useEffect(() => {
    if (!ready || !canvas.current) return;
    const wanted = configuration(days, series, write);
    if (!chart.current) chart.current = new /** @type {any} */ (globalThis).Chart(canvas.current, wanted);
    else {
      Object.assign(chart.current, { options: wanted.options });
      chart.current.data = wanted.data;
      chart.current.update("none");
    }
    // For those who wait until it is drawn, and want to know in which colours.
    canvas.current.dataset.drawn = wanted.data.datasets[0]?.backgroundColor ?? "";
  }, [ready, JSON.stringify([days, series]), label, theme.value, system]);
  if (failed) return html`<${Notice} kind="warn"><p>The chart could not be loaded. The table below has the same figures.</p><//>`;
  return html`<div class="chart"><canvas ref=${canvas} role="img" aria-label=${label}></canvas></div>`;
}

/** @param {string[]} days @param {any[]} series @param {(value: number) => string} write */
function configuration(days, series, write) {
  const muted = colour("--muted");
  const ticks = { color: muted, font: { family: getComputedStyle(document.body).fontFamily, size: 12 } };
  return {
    type: "bar",
    data: {
      labels: days,
      datasets: series.map((each, index) => ({
        label: each.name,
        data: each.values,
        backgroundColor: colour(colourName(each, index)),
        // A line of the page between the parts of a bar: they can be told apart without their colours.
        borderColor: colour("--surface"),
        borderWidth: { top: days.length > 100 ? 0 : 1 },
        borderSkipped: false,
        maxBarThickness: 46,
        categoryPercentage: 0.86,
        barPercentage: 0.94,
      })),
    },
    options: {
      animation: false,
      responsive: true,
      maintainAspectRatio: false,
      interaction: { mode: "index", intersect: false },
      scales: {
        x: { stacked: true, grid: { display: false }, border: { color: colour("--line") }, ticks: { ...ticks, maxRotation: 0, autoSkipPadding: 14, callback: (/** @type {any} */ _, /** @type {number} */ index) => days[index]?.slice(5) } },
        y: { stacked: true, beginAtZero: true, grid: { color: colour("--line") }, border: { display: false }, ticks: { ...ticks, maxTicksLimit: 6, callback: (/** @type {number} */ value) => (value !== 0 && Math.abs(value) < 1 ? String(Number(value.toPrecision(2))) : short(value)) } },
      },
      plugins: {
        legend: { display: false },
        tooltip: {
          backgroundColor: colour("--raised"), titleColor: colour("--text"), bodyColor: colour("--text"), footerColor: colour("--text"), borderColor: colour("--line"), borderWidth: 1, padding: 10, boxPadding: 5,
          filter: (/** @type {any} */ item) => item.raw > 0,
          itemSort: (/** @type {any} */ one, /** @type {any} */ other) => other.raw - one.raw,
          callbacks: {
            label: (/** @type {any} */ item) => `${item.dataset.label}: ${write(item.raw)}`,
            footer: (/** @type {any[]} */ items) => (items.length > 1 ? `Together: ${write(items.reduce((sum, item) => sum + item.raw, 0))}` : ""),
          },
        },
      },
    },
  };
}

/** Changes when the system goes from light to dark. */
function useSystemTheme() {
  const query = useRef(matchMedia("(prefers-color-scheme: dark)"));
  const [dark, setDark] = useState(query.current.matches);
  useEffect(() => {
    const changed = () => setDark(query.current.matches);
    query.current.addEventListener("change", changed);
    return () => query.current.removeEventListener("change", changed);
  }, []);
  return dark;
}
