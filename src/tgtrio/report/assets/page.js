"use strict";
// The data of the page, and what all its parts share.
const page = (() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const tasks = data.tasks;

  // Where the parts of each life begin in the columns.
  const first = new Uint32Array(tasks.ids.length + 1);
  tasks.parts.forEach((count, row) => { first[row + 1] = first[row] + count; });

  // The parts of a life: begin and end in microseconds, and a number of `data.causes` (0: it ran).
  function* life(row) {
    let begin = tasks.ready[row];
    for (let n = first[row]; n < first[row + 1]; n++) {
      yield { begin, end: tasks.until[n], what: tasks.what[n] };
      begin = tasks.until[n];
    }
  }

  // What a part of a life is painted in: an attempt that failed is told from one that did not.
  function paint(row, part, next) {
    if (part.what) return data.causes[part.what][0];
    if (next) return "failed";
    const state = data.states[tasks.state[row]];
    return ["succeeded", "skipped"].includes(state) ? "in_flight" : state;
  }

  function sum(row, what) {
    let total = 0;
    for (const part of life(row)) if ((part.what === 0) === (what === "ran")) total += part.end - part.begin;
    return total;
  }

  function element(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "rect", "path", "text", "title", "defs", "marker"].includes(name);
    const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined) made.setAttribute(key, value);
    }
    made.append(...children); // strings become text, never markup
    return made;
  }

  function duration(micros) {
    const seconds = micros / 1e6;
    if (seconds <= 0) return "0 s";
    if (seconds < 0.0005) return `${Math.round(micros)} µs`;
    if (seconds < 0.9995) return `${Number((seconds * 1000).toPrecision(3))} ms`;
    if (seconds < 59.95) return `${Number(seconds.toPrecision(3))} s`;
    const minutes = Math.floor(Math.round(seconds) / 60), rest = Math.round(seconds) % 60;
    if (minutes < 120) return `${minutes} min ${String(rest).padStart(2, "0")} s`;
    return `${Math.floor(minutes / 60).toLocaleString("en")} h ${String(minutes % 60).padStart(2, "0")} min`;
  }

  const count = (number) => number.toLocaleString("en");
  const kind = (what) => data.causes[what][0];
  const state = (row) => data.states[tasks.state[row]];

  // Colours, as a canvas needs them.
  const probe = element("span", { hidden: "" });
  document.body.append(probe);
  let colours = {};
  function colour(name) {
    if (!(name in colours)) {
      probe.style.color = `var(--${name})`;
      colours[name] = getComputedStyle(probe).color;
    }
    return colours[name];
  }

  const repaints = [];
  function repaint() {
    colours = {};
    repaints.forEach((paint) => paint());
  }

  const remember = (theme) => { try { localStorage.setItem("tgtrio-theme", theme); } catch { /* a file may not */ } };
  const remembered = () => { try { return localStorage.getItem("tgtrio-theme"); } catch { return null; } };
  const system = matchMedia("(prefers-color-scheme: dark)");
  if (remembered()) document.documentElement.dataset.theme = remembered();
  document.getElementById("theme").addEventListener("click", () => {
    const now = document.documentElement.dataset.theme || (system.matches ? "dark" : "light");
    const next = now === "dark" ? "light" : "dark";
    document.documentElement.dataset.theme = next;
    remember(next);
    repaint();
  });
  system.addEventListener("change", repaint);
  document.querySelectorAll(".tools").forEach((tools) => { tools.hidden = false; });

  return { data, tasks, life, paint, sum, element, duration, count, kind, state, colour, repaints };
})();
