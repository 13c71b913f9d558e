"use strict";
// The critical path as a strip.
(() => {
  const { data, tasks, kind, state, colour, repaints } = page;
  const { canvas, brush, tell, hush, says } = page.canvases;
  const strip = document.getElementById("strip"), band = canvas(30), length = Math.max(data.length, 1);
  if (!strip) return;
  strip.append(band);
  band.style.width = "100%";

  function draw() {
    const { pen, width } = brush(band);
    for (const [row, begin, end, what] of data.path) {
      const x = (begin / length) * width, wide = Math.max(((end - begin) / length) * width, 0.5);
      pen.fillStyle = colour(what ? kind(what) : row >= 0 && state(row) === "failed" ? "failed" : "in_flight");
      if (what) pen.fillRect(x, 11, wide, 8);
      else pen.fillRect(x, 3, wide > 3 ? wide - 1 : wide, 24);
    }
  }

  const stepAt = (event) => {
    const box = band.getBoundingClientRect(), at = ((event.clientX - box.left) / box.width) * length;
    return data.path.find(([, begin, end]) => begin <= at && at < end);
  };
  band.addEventListener("pointermove", (event) => {
    const step = stepAt(event);
    if (!step) { hush(); return; }
    const [row, begin, end, what] = step;
    tell(event, row < 0 ? "a task" : tasks.ids[row], says({ begin, end, what }));
  });
  band.addEventListener("pointerleave", hush);
  band.addEventListener("click", (event) => { const step = stepAt(event); if (step && step[0] >= 0) page.story.ofTask(step[0]); });

  new ResizeObserver(draw).observe(strip);
  repaints.push(draw);
})();
// How long it took to open the page, in milliseconds; for who measures that.
requestAnimationFrame(() => { document.documentElement.dataset.opened = Math.round(performance.now()); });
