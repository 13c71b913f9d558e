"use strict";
// The story of a task, or of a box of tasks, in a dialog; and the search that leads there.
page.story = (() => {
  const { data, tasks, life, paint, sum, element, duration, count, state } = page;
  const dialog = document.getElementById("story");
  const MOST = 200;
  let afters = null;

  // Who depends on a task; worked out when somebody asks first.
  function dependents(row) {
    if (!afters) {
      afters = tasks.ids.map(() => []);
      tasks.before.forEach((befores, after) => befores.forEach((before) => afters[before].push(after)));
    }
    return afters[row];
  }

  function button(row) {
    return element("button", { type: "button", class: "task", "data-row": row, "data-state": state(row), title: tasks.ids[row] }, tasks.ids[row]);
  }

  function list(title, rows, total = rows.length) {
    if (!rows.length) return [];
    const items = rows.slice(0, MOST).map((row) => element("li", {}, button(row)));
    const more = total - items.length;
    if (more > 0) items.push(element("li", { class: "note" }, `and ${count(more)} more`));
    return [element("h3", {}, `${title} (${count(total)})`), element("ul", {}, ...items)];
  }

  function show(title, ...content) {
    const close = element("button", { type: "button", class: "plain", "aria-label": "Close" }, "✕");
    close.addEventListener("click", () => dialog.close());
    dialog.replaceChildren(
      element("div", { class: "story-head" }, element("h2", { id: "story-title" }, title), close),
      element("div", { class: "story-body" }, ...content),
    );
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
  }

  function figures(row) {
    const parts = [...life(row)], ran = parts.filter((part) => part.what === 0).length;
    const words = [`${state(row)}`, `action ${tasks.actions[tasks.action[row]]}`, `level ${count(tasks.level[row])}`];
    if (ran) words.push(`${ran === 1 ? "1 attempt" : `${count(ran)} attempts`}, ran ${duration(sum(row, "ran"))}`);
    if (sum(row, "waited")) words.push(`waited ${duration(sum(row, "waited"))}`);
    return element("p", { class: "note" }, element("span", { class: "chip", "data-state": state(row) }), words.join(" · "));
  }

  function table(row) {
    const parts = [...life(row)];
    let attempt = 0;
    const rows = parts.map((part, n) => {
      const name = paint(row, part, n < parts.length - 1), well = name === "in_flight";
      const chip = element("span", { class: "chip", [part.what || well ? "data-kind" : "data-state"]: name });
      const words = part.what ? `waited: ${data.causes[part.what][1]}` : `attempt ${++attempt}${well ? "" : `, ${name}`}`;
      return element("tr", {},
        element("td", { class: "number" }, `+${duration(part.begin)}`),
        element("td", {}, chip, words),
        element("td", { class: "number" }, duration(part.end - part.begin)));
    });
    if (!rows.length) {
      return element("p", { class: "note" }, tasks.ready[row] < 0 ? "It never had what it depends on, and did not start." : "It took no time.");
    }
    const heads = ["at", "what", "time"].map((name) => element("th", { scope: "col", class: name === "what" ? null : "number" }, name));
    return element("table", {}, element("thead", {}, element("tr", {}, ...heads)), element("tbody", {}, ...rows.slice(0, 500)));
  }

  function ofTask(row) {
    const error = tasks.errors[row];
    const content = [figures(row)];
    if (error) content.push(element("p", { class: "error" }, error));
    content.push(table(row));
    if (tasks.before) {
      content.push(...list("Depends on", tasks.before[row]), ...list("What depends on it", dependents(row)));
    }
    show(tasks.ids[row], ...content);
  }

  // Those that went wrong first, then those that took longest.
  function ofBox(node) {
    const rows = tasks.ids.map((_, row) => row).filter((row) => tasks.node[row] === node);
    const bad = (row) => (state(row) === "succeeded" ? 0 : state(row) === "failed" ? 2 : 1);
    const took = new Map(rows.map((row) => [row, sum(row, "ran")]));
    rows.sort((a, b) => bad(b) - bad(a) || took.get(b) - took.get(a));
    const { states, levels, worked, waited, labels } = data.graph;
    const all = states[node].reduce((a, b) => a + b, 0);
    const [from, to] = levels[node];
    const words = data.states.map((name, n) => (states[node][n] ? `${count(states[node][n])} ${name}` : "")).filter(Boolean);
    show(labels[node],
      element("p", { class: "note" }, `${words.join(", ")} · ${from === to ? `level ${count(from)}` : `levels ${count(from)} to ${count(to)}`} · ran ${duration(worked[node])}, waited ${duration(waited[node])} in all`),
      ...list("Tasks, what went wrong and what took longest first", rows, all));
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-row]");
    if (target) ofTask(Number(target.dataset.row));
    else if (event.target === dialog) dialog.close();
  });
  return { ofTask, ofBox };
})();

(() => {
  const { tasks, state, element, count } = page;
  const input = document.getElementById("find"), found = document.getElementById("found");
  const MOST = 30;
  const lower = tasks.ids.map((id) => id.toLowerCase());
  let chosen = -1;

  function search() {
    const text = input.value.trim().toLowerCase();
    const starts = [], holds = [];
    let total = 0;
    if (text) {
      lower.forEach((id, row) => {
        const at = id.indexOf(text);
        if (at < 0) return;
        total += 1;
        (at === 0 ? starts : holds).push(row);
      });
    }
    starts.sort((a, b) => lower[a].length - lower[b].length);
    const rows = [...starts, ...holds].slice(0, MOST);
    const options = rows.map((row, n) => element("li", { role: "option", id: `found-${n}`, "data-row": row, "data-state": state(row), title: tasks.ids[row] },
      element("span", { class: "chip" }), tasks.ids[row]));
    if (total > rows.length) options.push(element("li", { class: "note" }, `and ${count(total - rows.length)} more`));
    if (text && !total) options.push(element("li", { class: "note" }, "No task has that in its name."));
    found.replaceChildren(...options);
    choose(rows.length ? 0 : -1);
    open(Boolean(text));
  }

  function open(on) {
    found.hidden = !on;
    input.setAttribute("aria-expanded", String(on));
    if (!on) input.removeAttribute("aria-activedescendant");
  }

  function choose(place) {
    chosen = place;
    [...found.querySelectorAll("[role=option]")].forEach((option, n) => {
      option.setAttribute("aria-selected", String(n === place));
      if (n === place) {
        input.setAttribute("aria-activedescendant", option.id);
        option.scrollIntoView({ block: "nearest" });
      }
    });
  }

  input.addEventListener("input", search);
  input.addEventListener("focus", () => { if (input.value) search(); });
  input.addEventListener("keydown", (event) => {
    const many = found.querySelectorAll("[role=option]").length;
    if (event.key === "Escape") open(false);
    else if (event.key === "Enter" && chosen >= 0) found.children[chosen].click();
    else if (event.key === "ArrowDown" && many) choose((chosen + 1) % many);
    else if (event.key === "ArrowUp" && many) choose((chosen - 1 + many) % many);
    else return;
    event.preventDefault();
  });
  found.addEventListener("click", () => open(false));
  document.addEventListener("click", (event) => { if (!event.target.closest(".find")) open(false); });
  input.form.addEventListener("submit", (event) => event.preventDefault());
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && !/^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      input.focus();
    }
  });
})();
