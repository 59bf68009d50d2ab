// Charts in the page's colours, sortable tables, zoomable graphs, light and dark.
"use strict";

function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

// On a phone a logarithmic axis has room for its decades only.
function narrowCharts() {
  if (window.innerWidth > 600) return;
  for (const chart of Bokeh.documents) {
    for (const model of chart.all_models) {
      if (model.type === "FixedTicker" && model.ticks.length > 12) {
        model.ticks = model.ticks.filter((tick) => Number.isInteger(Math.round(Math.log10(tick) * 1e6) / 1e6));
      }
    }
  }
}

function paintCharts() {
  const ink = colour("--ink"), line = colour("--line");
  for (const chart of Bokeh.documents) {
    for (const model of chart.all_models) {
      if (model.type === "Grid") model.grid_line_color = line;
      else if (model.type === "Legend") model.label_text_color = ink;
      else if (model.type.endsWith("Axis")) {
        model.axis_label_text_color = model.major_label_text_color = ink;
        model.axis_label_text_font_style = "normal";
        model.axis_line_color = model.major_tick_line_color = ink;
        model.minor_tick_line_color = null;
      }
    }
  }
}

async function drawCharts() {
  const items = JSON.parse(document.getElementById("charts").textContent);
  for (const item of items) {
    try {
      await Bokeh.embed.embed_item(item);
    } catch (error) {
      // The other charts and the page's colours do not depend on this one.
      console.error(`${item.target_id}: ${error.message}`);
      document.getElementById(item.target_id).textContent = "This chart could not be drawn.";
    }
  }
  narrowCharts();
  paintCharts();
  // Canvases have nothing to say to a screen reader: the figure around them has.
  for (const canvas of document.querySelectorAll(".chart canvas")) canvas.setAttribute("aria-hidden", "true");
}

function sortBy(header) {
  const table = header.closest("table"), body = table.tBodies[0];
  const column = [...header.parentElement.children].indexOf(header);
  const down = header.getAttribute("aria-sort") === "ascending";
  for (const other of header.parentElement.children) other.removeAttribute("aria-sort");
  header.setAttribute("aria-sort", down ? "descending" : "ascending");
  const key = (row) => row.cells[column].dataset.sort ?? row.cells[column].textContent.trim();
  const rows = [...body.rows].sort((a, b) => {
    const [x, y] = [key(a), key(b)], [p, q] = [parseFloat(x), parseFloat(y)];
    return Number.isNaN(p) || Number.isNaN(q) ? x.localeCompare(y) : p - q;
  });
  body.append(...(down ? rows.reverse() : rows));
}

function zoom(range) {
  for (const graph of document.getElementById(range.dataset.graph).querySelectorAll("svg")) {
    graph.style.width = `${graph.dataset.width * range.value}px`;
  }
}

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  document.getElementById("theme").setAttribute("aria-pressed", String(theme === "dark"));
  paintCharts();
}

document.addEventListener("DOMContentLoaded", () => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  drawCharts().then(() => setTheme(dark.matches ? "dark" : "light"));
  dark.addEventListener("change", () => setTheme(dark.matches ? "dark" : "light"));
  const button = document.getElementById("theme");
  button.addEventListener("click", () =>
    setTheme(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
  for (const sorter of document.querySelectorAll("th button")) {
    sorter.addEventListener("click", () => sortBy(sorter.parentElement));
  }
  for (const range of document.querySelectorAll("input[data-graph]")) {
    range.addEventListener("input", () => zoom(range));
    zoom(range);
  }
});
