"use strict";
// The graph, laid out by dagre and drawn as SVG.
(() => {
  const { data, tasks, element, count, duration, state } = page;
  const pane = document.getElementById("drawing"), graph = data.graph;
  if (!pane) return;
  const HEIGHT = 46, ROUND = 7;
  const onPath = new Set(graph.path), alongPath = new Set(graph.pathEdges.map(String));

  const shown = (text, room) => (text.length > room ? `${text.slice(0, Math.ceil(room / 2) - 1)}…${text.slice(-(Math.floor(room / 2) - 1))}` : text);
  const total = (node) => graph.states[node].reduce((a, b) => a + b, 0);
  const rowOf = graph.folded ? null : new Map(tasks.node.map((node, row) => [node, row]));

  function captions(node) {
    if (graph.folded) {
      const all = total(node);
      return [graph.labels[node], `${count(all)} ${all === 1 ? "task" : "tasks"}, ran ${duration(graph.worked[node])}`];
    }
    const row = rowOf.get(node);
    const ran = graph.worked[node] ? duration(graph.worked[node]) : state(row);
    return [graph.labels[node], `${tasks.actions[tasks.action[row]]}, ${ran}`];
  }

  // Many lines would be a tangle: then a row for each span of levels, and a column for each action.
  function layoutInColumns() {
    const names = [...new Set(graph.labels)], rows = [...new Set(graph.levels.map(String))];
    const wide = 200, high = HEIGHT + 40, places = new Map();
    rows.sort((a, b) => parseInt(a, 10) - parseInt(b, 10));
    graph.labels.forEach((name, node) => {
      const x = 16 + wide / 2 + names.indexOf(name) * wide, y = 16 + HEIGHT / 2 + rows.indexOf(String(graph.levels[node])) * high;
      places.set(String(node), { x, y, width: wide - 28, height: HEIGHT });
    });
    const points = ({ v, w }) => {
      const a = places.get(v), b = places.get(w), top = a.y + HEIGHT / 2, low = b.y - HEIGHT / 2;
      const turn = Math.min(14, (low - top) / 2);
      return [{ x: a.x, y: top }, { x: a.x, y: top + turn }, { x: b.x, y: low - turn }, { x: b.x, y: low }];
    };
    return {
      graph: () => ({ width: names.length * wide + 32, height: rows.length * high - 8 }),
      nodes: () => [...places.keys()], node: (node) => places.get(String(node)),
      edges: () => graph.edges.map(([from, to]) => ({ v: String(from), w: String(to) })),
      edge: (edge) => ({ points: points(edge) }), hasEdge: () => true,
    };
  }

  // From left to right where that can be read without scrolling, else from top to bottom.
  function layout() {
    if (graph.folded && graph.edges.length > 2 * graph.labels.length) return layoutInColumns();
    const wide = layoutAs("LR", 52), room = pane.clientWidth - 4;
    if (room / wide.graph().width >= 0.8) return wide;
    const tall = layoutAs("TB", 34);
    return tall.graph().width < wide.graph().width ? tall : wide;
  }

  function layoutAs(rankdir, ranksep) {
    const made = new dagre.graphlib.Graph();
    made.setGraph({ rankdir, ranksep, nodesep: 14, edgesep: 8, marginx: 16, marginy: 16 });
    made.setDefaultEdgeLabel(() => ({}));
    graph.labels.forEach((_, node) => {
      const [name, more] = captions(node);
      const width = Math.max(96, Math.min(230, 26 + Math.max(name.length * 7.4, more.length * 5.9)));
      made.setNode(node, { width, height: HEIGHT });
    });
    graph.edges.forEach(([from, to]) => made.setEdge(from, to));
    dagre.layout(made);
    return made;
  }

  // A smooth line through the points of an edge.
  function line(points) {
    const at = ({ x, y }) => `${x.toFixed(1)},${y.toFixed(1)}`;
    let path = `M${at(points[0])}`;
    for (let n = 1; n < points.length - 1; n++) {
      const next = points[n + 1], half = { x: (points[n].x + next.x) / 2, y: (points[n].y + next.y) / 2 };
      path += `Q${at(points[n])} ${at(n === points.length - 2 ? next : half)}`;
    }
    return points.length === 2 ? `${path}L${at(points[1])}` : path;
  }

  function tip(points) {
    const end = points[points.length - 1], before = points[points.length - 2];
    const angle = Math.atan2(end.y - before.y, end.x - before.x) * 180 / Math.PI;
    return { d: "M0,0L-7,-3.2L-7,3.2Z", transform: `translate(${end.x.toFixed(1)},${end.y.toFixed(1)}) rotate(${angle.toFixed(0)})` };
  }

  function drawEdge(from, to, points) {
    const along = alongPath.has(`${from},${to}`) ? " on-path" : "";
    return [element("path", { class: `edge${along}`, d: line(points) }), element("path", { class: `tip${along}`, ...tip(points) })];
  }

  // A step of the critical path along which there is no dependency: one made room for the other.
  function drawHop(a, b) {
    const above = Math.abs(a.x - b.x) < a.width; // then around what stands between them
    const [x, to] = above ? [a.x + a.width / 2, b.x + b.width / 2] : [a.x, b.x];
    const middle = above ? Math.max(x, to) + 26 + Math.abs(a.y - b.y) / 6 : (a.x + b.x) / 2;
    return element("path", { class: "edge on-path hop", d: `M${x},${a.y}Q${middle},${(a.y + b.y) / 2} ${to},${b.y}` });
  }

  function drawNode(node, place) {
    const { width, height } = place, [name, more] = captions(node), all = total(node);
    const words = data.states.map((word, n) => (graph.states[node][n] ? `${count(graph.states[node][n])} ${word}` : "")).filter(Boolean).join(", ");
    const made = element("g", {
      class: `node${onPath.has(node) ? " on-path" : ""}`, tabindex: 0, role: "button",
      "aria-label": `${name}: ${more}; ${words}`,
      transform: `translate(${(place.x - width / 2).toFixed(1)},${(place.y - height / 2).toFixed(1)})`,
    });
    made.append(element("title", {}, `${name}\n${more}\n${words}`), element("rect", { class: "box", width, height, rx: ROUND }));
    const room = width - 20;
    let x = 10;
    graph.states[node].forEach((number, n) => {
      if (!number) return;
      const long = Math.max((number / all) * room, 3);
      made.append(element("rect", { class: "part", "data-state": data.states[n], x: x.toFixed(1), y: height - 8, width: Math.min(long, width - 10 - x).toFixed(1), height: 4, rx: 2 }));
      x += long;
    });
    made.append(element("text", { x: 10, y: 17 }, shown(name, Math.floor(room / 7.1))), element("text", { class: "small", x: 10, y: 31 }, shown(more, Math.floor(room / 5.5))));
    const tell = () => (graph.folded ? page.story.ofBox(node) : page.story.ofTask(rowOf.get(node)));
    made.addEventListener("click", tell);
    made.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      tell();
    });
    return made;
  }

  const made = layout(), { width, height } = made.graph();
  const svg = element("svg", { viewBox: `0 0 ${width} ${height}`, role: "presentation" });
  made.edges().forEach((edge) => svg.append(...drawEdge(Number(edge.v), Number(edge.w), made.edge(edge).points)));
  if (!graph.folded) graph.pathEdges.filter(([from, to]) => !made.hasEdge(from, to)).forEach(([from, to]) => svg.append(drawHop(made.node(from), made.node(to))));
  made.nodes().forEach((node) => svg.append(drawNode(Number(node), made.node(node))));
  pane.append(svg);

  let zoom = 1;
  function size() {
    svg.setAttribute("width", (width * zoom).toFixed(0));
    svg.setAttribute("height", (height * zoom).toFixed(0));
  }
  const fit = () => Math.max(Math.min(1.15, (pane.clientWidth - 4) / width), 0.5);
  const zooms = { in: () => Math.min(zoom * 1.25, 3), out: () => Math.max(zoom / 1.25, 0.1), fit: () => Math.min(fit(), 740 / height) };
  document.querySelectorAll("[data-zoom]").forEach((button) => button.addEventListener("click", () => { zoom = zooms[button.dataset.zoom](); size(); }));
  zoom = fit();
  if (height * zoom > 740 && 740 / height >= 0.7) zoom = 740 / height; // all of it at a glance
  size();
  if (graph.leftOut) document.getElementById("graph-note").textContent = `${count(graph.leftOut)} lines that follow from others, or stay within a row, are left out`;
})();
