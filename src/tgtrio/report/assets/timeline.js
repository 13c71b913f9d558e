"use strict";
// When each task waited and ran: curves over the run, and a row for each task or action.
(() => {
  const { data, tasks, life, paint, sum, element, count, duration, kind, state, colour, repaints } = page;
  const { canvas, brush, tell, hush, says } = page.canvases;
  const gantt = document.getElementById("gantt");
  if (!gantt) return;
  const ROW = 22, TALL = 440, AXIS = 24, FEW = 60, length = Math.max(data.length, 1);
  let from = 0, to = length;

  function chart(title, note, on) {
    return element("div", { class: "chart" }, element("div", { class: "label" }, element("b", {}, title), note), on);
  }

  const curves = data.curves, most = (values) => values.reduce((a, b) => Math.max(a, b), 0);
  const stacked = Array.from({ length: curves.bins }, (_, n) => curves.waiting.reduce((all, [, values]) => all + values[n], 0));
  const overview = canvas(58, { id: "overview", "aria-label": "Tasks in flight over the run" });
  const held = canvas(58, { "aria-label": "Tasks waiting over the run, by cause" });
  const axis = canvas(AXIS, { "aria-hidden": "true" });
  const shownMost = (values) => count(Number(most(values).toPrecision(3)));
  gantt.append(chart("In flight", curves.limit ? `limit ${count(curves.limit)}` : `up to ${shownMost(curves.running)}`, overview));
  if (curves.waiting.length) gantt.append(chart("Waiting", `up to ${shownMost(stacked)}`, held));
  gantt.append(element("div", { class: "chart" }, element("span"), axis));

  const names = element("div", { class: "gantt-names" });
  const lines = canvas(TALL, { "aria-hidden": "true" });
  const field = element("div", { class: "gantt-lines", tabindex: 0, role: "group", "aria-label": "Time: left and right move, plus and minus zoom, 0 shows the whole run" }, lines);
  const body = element("div", { class: "gantt-body" }, names, field);
  gantt.append(body);

  // -- the curves -----------------------------------------------------------------------------

  function area(pen, values, below, top, width, height, fill) {
    const step = width / values.length, y = (n, value) => height - ((below[n] + value) / top) * (height - 5);
    pen.beginPath();
    pen.moveTo(0, y(0, 0));
    values.forEach((value, n) => { pen.lineTo(n * step, y(n, value)); pen.lineTo((n + 1) * step, y(n, value)); });
    for (let n = values.length - 1; n >= 0; n--) { pen.lineTo((n + 1) * step, y(n, 0)); pen.lineTo(n * step, y(n, 0)); }
    pen.fillStyle = fill;
    pen.fill();
  }

  function drawCurves() {
    const zero = new Array(curves.bins).fill(0);
    let { pen, width, height } = brush(overview);
    const peak = Math.max(most(curves.running), 1e-9), limit = curves.limit || 0;
    const top = limit > peak && limit < 3 * peak ? limit : peak;
    area(pen, curves.running, zero, top, width, height, colour("in_flight"));
    if (top === limit) {
      pen.fillStyle = colour("muted");
      for (let x = 0; x < width; x += 6) pen.fillRect(x, 4, 3, 1);
    }
    drawSpan(pen, width, height);
    if (!curves.waiting.length) return;
    ({ pen, width, height } = brush(held));
    const below = zero.slice(), high = Math.max(most(stacked), 1e-9);
    curves.waiting.forEach(([name, values]) => {
      area(pen, values, below, high, width, height, colour(name));
      values.forEach((value, n) => { below[n] += value; });
    });
    drawSpan(pen, width, height);
  }

  // What of the run is shown below.
  function drawSpan(pen, width, height) {
    if (from <= 0 && to >= length) return;
    const x = (at) => (at / length) * width;
    pen.globalAlpha = 0.72;
    pen.fillStyle = colour("raised");
    pen.fillRect(0, 0, x(from), height);
    pen.fillRect(x(to), 0, width - x(to), height);
    pen.globalAlpha = 1;
    pen.fillStyle = colour("accent");
    pen.fillRect(x(from) - 1, 0, 1.5, height);
    pen.fillRect(x(to), 0, 1.5, height);
  }

  function ticks(width) {
    const rough = (to - from) / Math.max(Math.floor(width / 110), 1);
    const bases = [60e6, 120e6, 300e6, 600e6, 900e6, 1800e6, 3600e6, 7200e6, 14400e6, 21600e6, 43200e6, 86400e6];
    let step = rough > 45e6 ? bases.find((base) => base >= rough) : 0;
    if (!step) {
      const power = 10 ** Math.floor(Math.log10(rough));
      step = [1, 2, 5, 10].map((n) => n * power).find((n) => n >= rough);
    }
    const found = [];
    for (let at = Math.ceil(from / step) * step; at <= to; at += step) found.push(at);
    return found;
  }

  function drawAxis() {
    const { pen, width } = brush(axis);
    pen.fillStyle = colour("muted");
    for (const at of ticks(width)) {
      const x = ((at - from) / (to - from)) * width;
      pen.fillRect(x, 0, 1, 5);
      const text = duration(at).replace(/ 00 (s|min)$/, ""), long = pen.measureText(text).width;
      pen.fillText(text, Math.max(2, Math.min(x - long / 2, width - long - 2)), 17);
    }
  }

  // -- the rows -----------------------------------------------------------------------------------

  const order = document.getElementById("rows");
  const open = new Set();
  let shown = []; // {group, rows} or {row, inner}

  const known = tasks.ids.map((_, row) => row);
  const start = (row) => (tasks.ready[row] < 0 ? tasks.ended[row] : tasks.ready[row]);
  const groups = new Map();
  [...known].sort((a, b) => start(a) - start(b)).forEach((row) => {
    const action = tasks.action[row];
    if (!groups.has(action)) groups.set(action, []);
    groups.get(action).push(row);
  });

  function arrange() {
    const plain = (rows) => rows.map((row) => ({ row }));
    if (order.value === "action") {
      shown = [];
      for (const [group, rows] of groups) {
        shown.push({ group, rows });
        if (open.has(group)) rows.forEach((row) => shown.push({ row, inner: true }));
      }
    } else if (order.value === "path") {
      shown = plain([...new Set(data.path.map(([row]) => row))].filter((row) => row >= 0));
    } else if (order.value === "wait") {
      const waited = known.map((row) => sum(row, "waited"));
      shown = plain([...known].sort((a, b) => waited[b] - waited[a]));
    } else {
      shown = plain([...known].sort((a, b) => start(a) - start(b)));
    }
    names.style.height = `${Math.max(shown.length, 1) * ROW}px`;
    const tall = Math.min(shown.length * ROW, TALL);
    body.style.height = `${tall}px`;
    field.style.height = lines.style.height = `${tall}px`;
    names.replaceChildren();
    buttons.clear();
    draw();
  }

  const buttons = new Map();

  function nameButton(entry) {
    if (entry.rows) {
      const name = tasks.actions[entry.group];
      const made = element("button", { type: "button", class: "group", title: name, "aria-expanded": String(open.has(entry.group)) }, name, element("span", { class: "many note" }, ` ${count(entry.rows.length)}`));
      made.addEventListener("click", () => {
        const at = body.scrollTop;
        if (!open.delete(entry.group)) open.add(entry.group);
        arrange();
        body.scrollTop = at;
        draw();
        buttons.get(shown.findIndex((one) => one.group === entry.group && one.rows))?.focus();
      });
      return made;
    }
    const id = tasks.ids[entry.row];
    return element("button", { type: "button", class: `task${entry.inner ? " inner" : ""}`, "data-row": entry.row, "data-state": state(entry.row), title: id }, id);
  }

  function drawNames(begin, end) {
    for (const [place, made] of buttons) {
      if (place < begin || place >= end) { made.remove(); buttons.delete(place); }
    }
    for (let place = begin; place < end; place++) {
      if (buttons.has(place)) continue;
      const made = nameButton(shown[place]);
      made.style.top = `${place * ROW}px`;
      const after = [...buttons].filter(([other]) => other > place).sort((a, b) => a[0] - b[0])[0];
      names.insertBefore(made, after ? after[1] : null);
      buttons.set(place, made);
    }
  }

  function drawTask(pen, row, y, x) {
    const parts = [...life(row)];
    parts.forEach((part, n) => {
      if (part.end < from || part.begin > to) return;
      const left = Math.max(x(part.begin), -2), wide = Math.max(Math.min(x(part.end), x(to) + 2) - left, part.what ? 0.5 : 1.2);
      pen.fillStyle = colour(paint(row, part, n < parts.length - 1));
      if (part.what) pen.fillRect(left, y + 9, wide, 4);
      else pen.fillRect(left, y + 4, wide, 14);
    });
    if (!parts.length && tasks.ended[row] >= from && tasks.ended[row] <= to) {
      pen.fillStyle = colour(state(row));
      pen.beginPath();
      pen.arc(x(tasks.ended[row]), y + 11, 2.5, 0, 7);
      pen.fill();
    }
  }

  // How many of an action ran at each point of the span, and below that what most of them waited for.
  function drawGroup(pen, rows, y, width) {
    const bins = Math.max(Math.floor(width / 2), 1), bin = (at) => ((at - from) / (to - from)) * bins;
    const curve = new Map();
    for (const row of rows) {
      for (const part of life(row)) {
        if (part.end < from || part.begin > to) continue;
        const name = part.what ? kind(part.what) : "";
        if (!curve.has(name)) curve.set(name, new Float32Array(bins + 2));
        const steps = curve.get(name), a = Math.max(Math.floor(bin(part.begin)), 0), b = Math.min(Math.max(Math.ceil(bin(part.end)), a + 1), bins);
        steps[a] += 1;
        steps[b] -= 1;
      }
    }
    for (const steps of curve.values()) for (let n = 1; n <= bins; n++) steps[n] += steps[n - 1];
    const ran = curve.get(""), top = ran ? most(ran) : 0, waits = [...curve].filter(([name]) => name);
    const all = waits.reduce((high, [, steps]) => Math.max(high, most(steps)), 0);
    for (let n = 0; n < bins; n++) {
      if (ran && ran[n]) {
        const tall = Math.max((ran[n] / top) * 13, 2);
        pen.fillStyle = colour("in_flight");
        pen.fillRect(n * 2, y + 16 - tall, 2, tall);
      }
      const wait = waits.reduce((best, one) => (one[1][n] > (best ? best[1][n] : 0) ? one : best), null);
      if (wait) {
        pen.globalAlpha = 0.35 + 0.65 * (wait[1][n] / all);
        pen.fillStyle = colour(wait[0]);
        pen.fillRect(n * 2, y + 17, 2, 3);
        pen.globalAlpha = 1;
      }
    }
  }

  function drawRows() {
    const top = body.scrollTop;
    const begin = Math.max(Math.floor(top / ROW), 0), end = Math.min(Math.ceil((top + body.clientHeight) / ROW) + 1, shown.length);
    drawNames(begin, end);
    const { pen, width, height } = brush(lines);
    const x = (at) => ((at - from) / (to - from)) * width;
    pen.fillStyle = colour("line");
    ticks(width).forEach((at) => pen.fillRect(x(at), 0, 0.5, height));
    for (let place = begin; place < end; place++) {
      const y = place * ROW - top, entry = shown[place];
      if (entry.rows) {
        pen.fillStyle = colour("shade");
        pen.fillRect(0, y, width, ROW - 1);
        drawGroup(pen, entry.rows, y, width);
      } else {
        drawTask(pen, entry.row, y, x);
      }
    }
  }

  let asked = false;
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => { asked = false; drawCurves(); drawAxis(); drawRows(); });
  }

  // -- moving about -----------------------------------------------------------------------------------

  function span(begin, end) {
    const least = Math.min(Math.max(length / 1e5, 20), length), wide = Math.min(Math.max(end - begin, least), length);
    from = Math.min(Math.max((begin + end - wide) / 2, 0), length - wide);
    to = from + wide;
    document.getElementById("time-note").textContent = wide < length ? `+${duration(from)} to +${duration(to)}` : "";
    draw();
  }

  function zoom(factor, middle = (from + to) / 2) {
    span(middle - (middle - from) * factor, middle + (to - middle) * factor);
  }

  const moves = {
    in: () => zoom(0.5), out: () => zoom(2), fit: () => span(0, length),
    left: () => span(from - (to - from) / 4, to - (to - from) / 4),
    right: () => span(from + (to - from) / 4, to + (to - from) / 4),
  };
  document.querySelectorAll("[data-time]").forEach((button) => button.addEventListener("click", () => moves[button.dataset.time]()));
  const keys = { ArrowLeft: "left", ArrowRight: "right", "+": "in", "=": "in", "-": "out", 0: "fit" };
  field.addEventListener("keydown", (event) => {
    if (event.key === "ArrowUp" || event.key === "ArrowDown") body.scrollTop += event.key === "ArrowUp" ? -ROW : ROW;
    else if (keys[event.key]) moves[keys[event.key]]();
    else return;
    event.preventDefault();
  });
  field.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.shiftKey) return;
    event.preventDefault();
    const box = field.getBoundingClientRect();
    zoom((event.deltaY || event.deltaX) > 0 ? 1.25 : 0.8, from + ((event.clientX - box.left) / box.width) * (to - from));
  }, { passive: false });

  function dragging(on, begin, move, end) {
    on.addEventListener("pointerdown", (event) => {
      if (event.button) return;
      const box = on.getBoundingClientRect(), at = (e) => (e.clientX - box.left) / box.width, first = at(event), held = begin();
      const follow = (e) => move(first, at(e), held);
      const stop = (e) => {
        on.removeEventListener("pointermove", follow);
        on.removeEventListener("pointerup", stop);
        on.removeEventListener("pointercancel", stop);
        if (end) end(first, at(e));
      };
      on.setPointerCapture(event.pointerId);
      on.addEventListener("pointermove", follow);
      on.addEventListener("pointerup", stop);
      on.addEventListener("pointercancel", stop);
    });
  }
  dragging(field, () => [from, to], (first, now, [a, b]) => span(a - (now - first) * (b - a), b - (now - first) * (b - a)));
  for (const on of [overview, held]) {
    dragging(on, () => 0, (first, now) => { if (Math.abs(now - first) > 0.005) span(Math.min(first, now) * length, Math.max(first, now) * length); });
    on.addEventListener("dblclick", moves.fit);
  }

  // -- what is under the pointer -----------------------------------------------------------------------

  field.addEventListener("pointermove", (event) => {
    const box = field.getBoundingClientRect(), at = from + ((event.clientX - box.left) / box.width) * (to - from);
    const entry = shown[Math.floor((event.clientY - box.top + body.scrollTop) / ROW)];
    if (!entry) { hush(); return; }
    if (entry.rows) {
      const now = entry.rows.map((row) => [...life(row)].find((part) => part.begin <= at && at < part.end)).filter(Boolean);
      const ran = now.filter((part) => !part.what).length;
      tell(event, tasks.actions[entry.group], `at +${duration(at)}: ${count(ran)} running, ${count(now.length - ran)} waiting`);
      return;
    }
    const slack = ((to - from) / box.width) * 2, parts = [...life(entry.row)];
    const part = parts.find((one) => one.begin <= at && at < one.end) || parts.find((one) => one.begin - slack <= at && at <= one.end + slack);
    tell(event, tasks.ids[entry.row], `${state(entry.row)}, ${tasks.actions[tasks.action[entry.row]]}`, ...(part ? [says(part)] : []));
  });
  field.addEventListener("pointerleave", hush);

  // -- begin -----------------------------------------------------------------------------------------------

  const legend = [["in_flight", "running"]];
  if (tasks.state.some((code) => data.states[code] === "failed") || data.causes.some(([name]) => name === "back_off")) legend.push(["failed", "failed attempt"]);
  curves.waiting.forEach(([name]) => legend.push([name, data.kinds[name]]));
  document.getElementById("causes").append(...legend.map(([name, text]) => {
    const chip = element("span", { class: "chip" });
    chip.style.background = `var(--${name})`;
    return element("li", {}, chip, text);
  }));

  order.value = tasks.ids.length > FEW ? "action" : "start";
  order.addEventListener("change", () => { body.scrollTop = 0; arrange(); });
  body.addEventListener("scroll", draw, { passive: true });
  new ResizeObserver(draw).observe(gantt);
  repaints.push(draw);
  arrange();
})();
