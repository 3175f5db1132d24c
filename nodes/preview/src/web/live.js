// The wall of cameras. It asks for the pictures of those that can be seen and for no others; a hidden page asks for nothing, and the
// node makes nothing that nobody asks for.

const html = (tag, className, ...children) => {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
};

export class Wall {
  constructor(root, dialog) {
    this.root = root;
    this.cameras = new Map();
    this.large = null;
    this.dialog = dialog;
    this.visible = new Set();
    this.seen = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        const name = entry.target.dataset.camera;
        if (entry.isIntersecting) this.visible.add(name);
        else this.visible.delete(name);
      }
      this.wake?.();
    }, { rootMargin: "60px" });
    document.addEventListener("visibilitychange", () => this.wake?.());
    dialog.querySelector(".close").addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    dialog.addEventListener("close", () => (this.large = null));
    this.run();
  }

  get size() { return this.cameras.size; }

  setCameras(names) {
    for (const [name, camera] of this.cameras) {
      if (names.includes(name)) continue;
      this.seen.unobserve(camera.root);
      this.visible.delete(name);
      camera.root.remove();
      this.cameras.delete(name);
    }
    for (const name of names) {
      if (this.cameras.has(name)) continue;
      const camera = new Camera(name, () => this.enlarge(name));
      this.cameras.set(name, camera);
      this.root.append(camera.root);
      this.seen.observe(camera.root);
    }
    this.root.classList.toggle("one", names.length === 1);
  }

  setStatus(all) {
    for (const now of all) this.cameras.get(now.name)?.setStatus(now);
  }

  enlarge(name) {
    this.large = name;
    this.dialog.querySelector(".tag").textContent = name;
    this.dialog.showModal();
    const camera = this.cameras.get(name);
    if (camera.last) draw(this.dialog.querySelector("canvas"), ...camera.last);
    this.wake?.();
  }

  // Cameras to ask for: name and width in pixels of the screen.
  wanted() {
    if (document.hidden) return [];
    if (this.large) return [[this.large, this.dialog.clientWidth * devicePixelRatio]];
    return [...this.visible].filter((name) => this.cameras.has(name)).map((name) => [name, this.cameras.get(name).root.clientWidth * devicePixelRatio]);
  }

  async run() {
    for (;;) {
      const wanted = this.wanted();
      if (wanted.length === 0) {
        await new Promise((resolve) => (this.wake = resolve));
        this.wake = null;
        continue;
      }
      const ask = wanted.map(([name, width]) => `p=${Math.round(width)},${this.cameras.get(name).number},${encodeURIComponent(name)}`).join("&");
      // What can be seen changed: the question is an old one.
      const abort = new AbortController();
      this.wake = () => abort.abort();
      try {
        const answer = await fetch(`/api/pictures?${ask}`, { signal: abort.signal });
        if (!answer.ok) throw new Error(answer.statusText);
        await this.show(await answer.arrayBuffer());
      } catch (error) {
        if (error.name !== "AbortError") await new Promise((resolve) => setTimeout(resolve, 1000));
      }
      this.wake = null;
    }
  }

  async show(buffer) {
    const view = new DataView(buffer);
    const blocks = [];
    for (let at = 0; at < buffer.byteLength;) {
      const aboutLength = view.getUint32(at, true);
      const about = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, at + 4, aboutLength)));
      at += 4 + aboutLength;
      const length = view.getUint32(at, true);
      blocks.push([about, new Blob([new Uint8Array(buffer, at + 4, length)], { type: "image/jpeg" })]);
      at += 4 + length;
    }
    await Promise.all(blocks.map(async ([about, jpeg]) => {
      const camera = this.cameras.get(about.camera);
      if (!camera) return;
      const picture = await createImageBitmap(jpeg);
      camera.show(picture, about);
      if (this.large === about.camera) draw(this.dialog.querySelector("canvas"), picture, about);
    }));
  }
}

class Camera {
  constructor(name, enlarge) {
    this.number = 0;
    this.last = null;
    this.rates = [];
    this.canvas = html("canvas");
    this.veil = html("span", "veil", "waiting for the first frame");
    const view = html("button", "view", this.canvas, this.veil);
    view.type = "button";
    view.setAttribute("aria-label", `Enlarge ${name}`);
    view.addEventListener("click", enlarge);
    this.numbers = html("span", "numbers");
    this.spark = document.createElementNS("http://www.w3.org/2000/svg", "svg");
    this.spark.setAttribute("class", "spark");
    this.spark.setAttribute("viewBox", "0 0 84 22");
    this.spark.setAttribute("aria-hidden", "true");
    this.line = document.createElementNS("http://www.w3.org/2000/svg", "path");
    this.spark.append(this.line);
    this.root = html("article", "camera", view, html("footer", "", html("span", "dot"), html("strong", "", name), this.numbers, this.spark));
    this.root.dataset.camera = name;
  }

  setStatus(now) {
    this.root.classList.toggle("live", now.state === "live" && !now.frozen);
    this.root.classList.toggle("silent", now.state === "silent");
    this.root.classList.toggle("frozen", now.frozen);
    const age = now.age_ms === null ? "" : ` · ${Math.round(now.age_ms)} ms`;
    this.numbers.textContent = now.state === "live" ? `${now.fps.toFixed(0)} fps${age}` : now.state;
    this.root.title = `${now.width}×${now.height}`;
    const veil = now.fault ?? {
      waiting: "waiting for the first frame",
      silent: `no frame for ${Math.round(now.silent_s)} s`,
      ended: "the camera has ended",
    }[now.state] ?? (now.frozen ? "the picture stands still" : "");
    this.veil.textContent = veil;
    this.veil.hidden = veil === "" && this.last !== null;
    this.rates.push(now.fps);
    if (this.rates.length > 60) this.rates.shift();
    const top = Math.max(...this.rates, 1);
    this.line.setAttribute("d", this.rates.map((rate, i) => `${i ? "L" : "M"}${(84 - (this.rates.length - 1 - i) * 1.4).toFixed(1)} ${(20 - 18 * rate / top).toFixed(1)}`).join(""));
  }

  show(picture, about) {
    this.last?.[0].close();
    this.last = [picture, about];
    this.number = about.number;
    if (this.veil.textContent.startsWith("waiting")) this.veil.hidden = true;
    draw(this.canvas, picture, about);
  }
}

// A picture with its boxes, in as many pixels as the screen has for it.
function draw(canvas, picture, about) {
  const ratio = about.height / about.width;
  const width = Math.max(Math.round(canvas.clientWidth * devicePixelRatio), 320);
  const height = Math.round(width * ratio);
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  if (canvas.parentElement.classList.contains("view")) canvas.parentElement.style.aspectRatio = `${about.width} / ${about.height}`;
  const g = canvas.getContext("2d");
  g.drawImage(picture, 0, 0, width, height);
  const scale = width / about.width;
  canvas.dataset.boxes = about.boxes.length;
  const unit = Math.max(width / 640, devicePixelRatio * 0.8);
  for (const box of about.boxes) {
    if (box.vehicle) corners(g, box.vehicle.map((v) => v * scale), unit);
    if (box.plate) {
      const [x0, y0, x1, y1] = box.plate.map((v) => v * scale);
      g.lineWidth = 1.8 * unit;
      g.strokeStyle = "#ffc53d";
      g.beginPath();
      g.roundRect(x0, y0, x1 - x0, y1 - y0, 2 * unit);
      g.stroke();
    }
    const place = box.plate ?? box.vehicle;
    if (box.text && place) label(g, box.text, place.map((v) => v * scale), unit, width);
  }
}

function corners(g, [x0, y0, x1, y1], unit) {
  const arm = Math.min(18 * unit, (x1 - x0) / 3, (y1 - y0) / 3);
  g.lineWidth = 2 * unit;
  g.lineCap = "round";
  g.strokeStyle = "rgb(79 209 189 / 90%)";
  g.beginPath();
  for (const [x, y, dx, dy] of [[x0, y0, 1, 1], [x1, y0, -1, 1], [x1, y1, -1, -1], [x0, y1, 1, -1]]) {
    g.moveTo(x + dx * arm, y);
    g.lineTo(x, y);
    g.lineTo(x, y + dy * arm);
  }
  g.stroke();
}

function label(g, text, [x0, y0, x1], unit, width) {
  g.font = `700 ${13 * unit}px ui-monospace, "DejaVu Sans Mono", monospace`;
  const w = g.measureText(text).width + 12 * unit;
  const h = 20 * unit;
  const x = Math.min(Math.max((x0 + x1) / 2 - w / 2, 2), width - w - 2);
  const y = Math.max(y0 - h - 5 * unit, 2);
  g.fillStyle = "#ffc53d";
  g.beginPath();
  g.roundRect(x, y, w, h, 5 * unit);
  g.fill();
  g.fillStyle = "#1b1503";
  g.textBaseline = "middle";
  g.fillText(text, x + 6 * unit, y + h / 2 + 0.5 * unit);
}
