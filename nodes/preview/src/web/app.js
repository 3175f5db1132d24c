// The page: what is heard from the node goes to the parts that show it.
import { Wall } from "./live.js";
import { Feed, Search } from "./readings.js";
import { Health } from "./charts.js";

const $ = (id) => document.getElementById(id);

const wall = new Wall($("wall"), $("large"));
const feed = new Feed($("feed"), $("no-readings"), $("count"));
const health = new Health($("charts"), $("camera-table"), $("node-table"), $("span"));
new Search($("ask"), $("found"), $("more"), $("found-none"), $("place"));

function says(text, kind) {
  $("summary").textContent = text;
  $("summary").className = `pill ${kind}`;
}

function cameras(names) {
  wall.setCameras(names);
  $("no-cameras").hidden = names.length > 0;
  const select = $("ask").elements.camera;
  const chosen = select.value;
  select.replaceChildren(new Option("all", ""), ...names.map((name) => new Option(name, name)));
  select.value = names.includes(chosen) ? chosen : "";
}

function status(now) {
  if (now.cameras.length !== wall.size) cameras(now.cameras.map((camera) => camera.name));
  wall.setStatus(now.cameras);
  health.add(now);
  const live = now.cameras.filter((camera) => camera.state === "live" && !camera.frozen).length;
  const all = now.cameras.length;
  const over = all > 0 && now.cameras.every((camera) => camera.state === "ended");
  if (over) says("the run is over", "");
  else if (live === all) says(all === 1 ? "camera live" : `${all} cameras live`, "good");
  else says(`${live} of ${all} cameras live`, live === 0 ? "bad" : "warn");
}

function listen() {
  const source = new EventSource("/api/events");
  const on = (name, f) => source.addEventListener(name, (event) => f(JSON.parse(event.data)));
  on("hello", (site) => {
    document.title = `${site.title} · Gantry`;
    $("title").textContent = site.title;
    $("version").textContent = site.version;
    $("no-statistics").hidden = site.has_statistics;
    cameras(site.cameras);
    feed.restart(site.readings);
    health.restart(site.points);
    says("connected", "good");
  });
  on("reading", (reading) => feed.add(reading, true));
  on("status", status);
  source.onerror = () => {
    says("no connection", "bad");
    // The browser tries again by itself, but not after an answer such as 401.
    if (source.readyState === EventSource.CLOSED) setTimeout(() => location.reload(), 5000);
  };
}

// Theme: as the system has it, light, dark.
const themes = ["", "light", "dark"];
function theme(name) {
  if (name) document.documentElement.dataset.theme = name;
  else delete document.documentElement.dataset.theme;
  health.draw();
}
theme(localStorage.getItem("theme") ?? "");
$("theme").addEventListener("click", () => {
  const next = themes[(themes.indexOf(localStorage.getItem("theme") ?? "") + 1) % themes.length];
  localStorage.setItem("theme", next);
  theme(next);
});

listen();
