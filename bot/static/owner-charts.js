/** Charts of the owner's page, as SVG. Each is drawn for the width that it gets, so letters stay letters on a phone. */

const SVG = "http://www.w3.org/2000/svg";

export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) if (value != null) element.setAttribute(name, value);
  element.append(...children.filter((child) => child != null));
  return element;
}

const label = (x, y, text, attributes = {}) => draw("text", { x, y, ...attributes }, text);
const line = (x1, y1, x2, y2, name) => draw("line", { x1, y1, x2, y2, class: name });
const told = (text) => draw("title", {}, text);

function frame(width, height, name, description, ...children) {
  return draw(
    "svg",
    { width, height, viewBox: `0 0 ${width} ${height}`, class: name, role: "img", "aria-label": description },
    ...children,
  );
}

const LEFT = 42, RIGHT = 10, SHARE = 84, COUNTS = 84, GAP = 18, FOOT = 20;

/**
 * One version over time: above, which share liked it, with Wilson's interval; below, the votes themselves, likes up
 * and dislikes down. `points` are by period: `{up, down, liked}` or null. `most` is the largest count of all versions,
 * so that panels can be compared.
 */
export function overTime({ width, periods, points, most, describe, name, text }) {
  const slot = (width - LEFT - RIGHT) / periods.length;
  const bar = Math.max(2, Math.min(22, slot * 0.68));
  const middle = (at) => LEFT + slot * (at + 0.5);
  const share = (value) => 8 + (1 - value) * SHARE;
  const zero = 8 + SHARE + GAP + COUNTS / 2;
  const tall = (count) => (count / Math.max(1, most)) * (COUNTS / 2 - 2);
  const marks = [];
  for (const value of [0, 0.5, 1]) {
    marks.push(line(LEFT, share(value), width - RIGHT, share(value), value === 0.5 ? "grid half" : "grid"));
    marks.push(label(LEFT - 6, share(value) + 4, `${value * 100}%`, { class: "tick end" }));
  }
  marks.push(line(LEFT, zero, width - RIGHT, zero, "axis"));
  marks.push(label(LEFT - 6, zero - COUNTS / 2 + 10, `+${most}`, { class: "tick end" }));
  marks.push(label(LEFT - 6, zero + COUNTS / 2, `−${most}`, { class: "tick end" }));
  points.forEach((point, at) => {
    if (!point) return;
    const x = middle(at);
    const group = draw("g", { class: "point" }, told(describe(periods[at], point)));
    if (point.liked) {
      group.append(line(x, share(point.liked.low), x, share(point.liked.high), "whisker"));
      group.append(draw("circle", { cx: x, cy: share(point.liked.value), r: 4, class: "dot" }));
    }
    for (const [vote, sign] of [["up", -1], ["down", 1]]) {
      const height = tall(point[vote]);
      if (!height) continue;
      const y = sign < 0 ? zero - height : zero;
      group.append(draw("rect", { x: x - bar / 2, y, width: bar, height, rx: Math.min(3, bar / 4), class: `bar ${vote}` }));
    }
    marks.push(group);
  });
  const foot = 8 + SHARE + GAP + COUNTS + FOOT - 4;
  const step = Math.max(1, Math.ceil(periods.length / Math.max(2, Math.floor((width - LEFT) / 72))));
  for (let at = periods.length - 1; at >= 0; at -= step) {
    const end = at === periods.length - 1 && slot < 60;
    marks.push(label(end ? width - RIGHT : middle(at), foot, name(periods[at]), { class: end ? "tick end" : "tick mid" }));
  }
  return frame(width, foot + 6, "over-time", text, ...marks);
}

/** A share between none and all, with its interval, on one line. */
export function interval(share, text, width = 150) {
  const x = (value) => 5 + value * (width - 10);
  return frame(
    width, 18, "interval", text,
    told(text),
    line(x(0), 9, x(1), 9, "grid"),
    line(x(0.5), 5, x(0.5), 13, "grid"),
    line(x(share.low), 9, x(share.high), 9, "whisker"),
    draw("circle", { cx: x(share.value), cy: 9, r: 4, class: "dot" }),
  );
}

/** How often a reward model is right (bars) where it is so sure (along the bottom); the line is where it should be. */
export function calibration(bins, describe, text, width = 260) {
  const height = 170, left = 36, foot = 22;
  const x = (sure) => left + ((sure - 0.5) / 0.5) * (width - left - 8);
  const y = (right) => 8 + (1 - right) * (height - foot - 8);
  const marks = [0, 0.5, 1].flatMap((value) => [
    line(left, y(value), width - 8, y(value), "grid"),
    label(left - 5, y(value) + 4, `${value * 100}%`, { class: "tick end" }),
  ]);
  for (const bin of bins) {
    const from = x(bin.low) + 1.5, to = x(bin.high) - 1.5;
    marks.push(
      draw(
        "rect",
        { x: from, y: y(bin.accuracy), width: to - from, height: Math.max(1, y(0) - y(bin.accuracy)), rx: 3, class: "bar plain" },
        told(describe(bin)),
      ),
    );
  }
  marks.push(line(x(0.5), y(0.5), x(1), y(1), "ideal"));
  for (const value of [0.5, 0.75, 1]) {
    marks.push(label(x(value), height - 5, `${value * 100}%`, { class: value === 1 ? "tick end" : "tick mid" }));
  }
  return frame(width, height, "calibration", text, ...marks);
}
