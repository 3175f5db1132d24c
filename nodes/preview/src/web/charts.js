// Rates, ages and load over time, and the tables of cameras and nodes.

const SVG = "http://www.w3.org/2000/svg";
const KEPT = 1200;
const HEIGHT = 168;
const LEFT = 34;
const BOTTOM = 18;

function svg(tag, attributes, text) {
  const e = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) e.setAttribute(name, value);
  if (text !== undefined) e.textContent = text;
  return e;
}

// A round number at or above `value`.
function roundUp(value) {
  const step = 10 ** Math.floor(Math.log10(Math.max(value, 1e-9)));
  return [1, 1.5, 2, 3, 4, 5, 6, 8, 10].map((n) => n * step).find((n) => n >= value * 0.999) ?? 10 * step;
}

const short = (value) => (value >= 1000 ? `${+(value / 1000).toFixed(1)}k` : value >= 10 ? value.toFixed(0) : `${+value.toFixed(1)}`);

class Chart {
  constructor(title, unit, least, series) {
    Object.assign(this, { unit, least, series });
    this.root = document.createElement("figure");
    this.root.className = "chart";
    this.root.style.margin = "0";
    const heading = document.createElement("h3");
    heading.textContent = title;
    this.keys = document.createElement("div");
    this.keys.className = "keys";
    this.svg = svg("svg", { role: "img", "aria-label": title });
    this.root.append(heading, this.keys, this.svg);
    this.svg.addEventListener("pointermove", (event) => { this.hover = event.clientX - this.svg.getBoundingClientRect().left; this.draw(this.points); });
    this.svg.addEventListener("pointerleave", () => { this.hover = undefined; this.draw(this.points); });
  }

  draw(points) {
    this.points = points;
    const width = this.svg.clientWidth;
    if (!width || points.length === 0) return;
    const names = [...new Set(points.slice(-120).flatMap((point) => Object.keys(this.series(point))))].sort();
    const [start, end] = [points[0].t, Math.max(points.at(-1).t, points[0].t + 60_000)];
    const top = roundUp(Math.max(this.least, ...points.flatMap((point) => Object.values(this.series(point)))));
    const x = (t) => LEFT + (width - LEFT - 4) * (t - start) / (end - start);
    const y = (value) => 6 + (HEIGHT - BOTTOM - 6) * (1 - value / top);
    const parts = [];
    for (const share of [0, 0.5, 1]) {
      parts.push(svg("line", { class: "grid", x1: LEFT, x2: width - 4, y1: y(share * top), y2: y(share * top) }));
      parts.push(svg("text", { x: LEFT - 6, y: y(share * top) + 3.5, "text-anchor": "end" }, short(share * top)));
    }
    const time = (t) => new Date(t).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
    parts.push(svg("text", { x: LEFT, y: HEIGHT - 2 }, time(start)), svg("text", { x: width - 4, y: HEIGHT - 2, "text-anchor": "end" }, time(end)));
    names.forEach((name, i) => {
      let path = "";
      let before = null;
      for (const point of points) {
        const value = this.series(point)[name];
        if (value === undefined) { before = null; continue; }
        // Where nothing was written for a while there is no line.
        path += `${before !== null && point.t - before < 30_000 ? "L" : "M"}${x(point.t).toFixed(1)} ${y(value).toFixed(1)}`;
        before = point.t;
      }
      const line = svg("path", { d: path });
      line.style.stroke = `var(--c${i % 8})`;
      parts.push(line);
    });
    let at = points.at(-1);
    if (this.hover !== undefined) {
      at = points.reduce((best, point) => (Math.abs(x(point.t) - this.hover) < Math.abs(x(best.t) - this.hover) ? point : best));
      parts.push(svg("line", { class: "hair", x1: x(at.t), x2: x(at.t), y1: 4, y2: HEIGHT - BOTTOM }));
    }
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren(...parts);
    this.keys.replaceChildren(...names.map((name, i) => {
      const key = document.createElement("span");
      const colour = document.createElement("i");
      colour.style.background = `var(--c${i % 8})`;
      const value = document.createElement("b");
      const number = this.series(at)[name];
      value.textContent = number === undefined ? "–" : `${short(number)}${this.unit}`;
      key.append(colour, name, " ", value);
      return key;
    }));
  }
}

// Ages are shown where a stage ends: what each node adds is the step between two lines. A vote waits for the end of a pass, on purpose.
const STAGES = ["decode", "resize", "detect", "crop", "recognize"];

export class Health {
  constructor(charts, cameras, nodes, span) {
    Object.assign(this, { cameras, nodes, span, points: [], kinds: new Map() });
    const stages = (point) => {
      const byKind = {};
      for (const [node, ms] of Object.entries(point.p95_ms)) {
        const kind = this.kinds.get(node) ?? node;
        if (STAGES.includes(kind)) byKind[kind] = Math.max(byKind[kind] ?? 0, ms);
      }
      return byKind;
    };
    this.charts = [
      new Chart("Frames per second", "", 10, (point) => point.fps),
      new Chart("Age of frames by stage, 95 of 100 are younger", " ms", 50, stages),
      new Chart("Left out per second", "", 5, (point) => ({ rows: point.left_out_s })),
      new Chart("Processor, % of one core", " %", 50, (point) => ({ "all nodes": point.cpu_percent })),
    ];
    charts.append(...this.charts.map((chart) => chart.root));
    new ResizeObserver(() => this.draw()).observe(charts);
  }

  restart(points) {
    this.points = points;
    this.draw();
  }

  add(now) {
    this.kinds = new Map(now.nodes.map((node) => [node.node, node.kind]));
    this.points.push(now.point);
    if (this.points.length > KEPT) this.points.shift();
    this.draw();
    this.table(this.cameras, "Cameras", ["camera", "state", "fps", "age ms", "size", "left out", "connects", "failed", "decode errors", "jumps of its clock", "froze"], now.cameras.map((c) => [
      c.name,
      c.frozen ? ["stands still", "warn"] : [c.state, { live: "good", silent: "bad" }[c.state]],
      c.fps.toFixed(1), c.age_ms?.toFixed(0) ?? "–", c.width ? `${c.width}×${c.height}` : "–", c.left_out, c.connects,
      [c.connect_failures, c.connect_failures && "warn"], [c.decode_errors, c.decode_errors && "warn"], c.pts_jumps, [c.freezes, c.freezes && "warn"],
    ]));
    this.table(this.nodes, "Nodes", ["node", "rows/s", "left out/s", "left out", "age p50 ms", "age p95 ms", "CPU %", "peak MB", "up"], now.nodes.map((n) => [
      n.node, n.rows_s.toFixed(1), [n.left_out_s.toFixed(1), n.left_out_s > 0 && "warn"], n.left_out, n.p50_ms?.toFixed(0) ?? "–", n.p95_ms?.toFixed(0) ?? "–",
      n.cpu_percent.toFixed(0), n.peak_mb, n.ended ? "ended" : duration(n.uptime_s),
    ]));
  }

  draw() {
    const minutes = this.points.length ? (this.points.at(-1).t - this.points[0].t) / 60_000 : 0;
    this.span.textContent = minutes >= 1 ? `last ${Math.round(minutes)} min` : "";
    for (const chart of this.charts ?? []) chart.draw(this.points);
  }

  table(table, name, columns, rows) {
    const row = (cells, tag) => {
      const tr = document.createElement("tr");
      for (const cell of cells) {
        const [text, className] = Array.isArray(cell) ? cell : [cell, ""];
        const td = document.createElement(tag);
        td.textContent = text;
        if (className) td.className = className;
        tr.append(td);
      }
      return tr;
    };
    const caption = document.createElement("caption");
    caption.textContent = name;
    const head = document.createElement("thead");
    head.append(row(columns, "th"));
    const body = document.createElement("tbody");
    body.append(...rows.map((cells) => row(cells, "td")));
    table.replaceChildren(caption, head, body);
  }
}

function duration(seconds) {
  const [d, h, m] = [Math.floor(seconds / 86_400), Math.floor(seconds / 3600) % 24, Math.floor(seconds / 60) % 60];
  return d ? `${d} d ${h} h` : h ? `${h} h ${m} min` : m ? `${m} min` : `${Math.floor(seconds)} s`;
}
