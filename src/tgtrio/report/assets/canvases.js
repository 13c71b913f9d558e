"use strict";
// What is drawn on: canvases as sharp as the screen, and a word on what is under the pointer.
page.canvases = (() => {
  const { data, element, duration } = page;
  const scale = window.devicePixelRatio || 1;

  function canvas(height, attributes = {}) {
    const made = element("canvas", { role: "img", ...attributes });
    made.style.height = `${height}px`;
    return made;
  }

  // A canvas cleared, as large as it is shown.
  function brush(on) {
    const { clientWidth: width, clientHeight: height } = on;
    if (on.width !== Math.round(width * scale) || on.height !== Math.round(height * scale)) {
      on.width = Math.round(width * scale);
      on.height = Math.round(height * scale);
    }
    const pen = on.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    pen.font = "11px system-ui, sans-serif";
    return { pen, width, height };
  }

  const tooltip = element("div", { class: "tooltip", hidden: "" });
  document.body.append(tooltip);

  function tell(event, heading, ...words) {
    tooltip.replaceChildren(element("b", {}, heading), ...words.flatMap((text) => [element("br"), text]));
    tooltip.hidden = false;
    const { width, height } = tooltip.getBoundingClientRect();
    tooltip.style.left = `${Math.max(Math.min(event.clientX + 14, innerWidth - width - 8), 4)}px`;
    tooltip.style.top = `${event.clientY + 18 + height > innerHeight ? event.clientY - height - 12 : event.clientY + 18}px`;
  }

  const hush = () => { tooltip.hidden = true; };
  const says = (part) => `${part.what ? `waited: ${data.causes[part.what][1]}` : "ran"}, ${duration(part.end - part.begin)} from +${duration(part.begin)}`;

  return { canvas, brush, tell, hush, says };
})();
