// Readings as they come, and those of the past. All text goes in as text: a plate is whatever was in the picture.

const KEPT = 120;

const element = (tag, className, ...children) => {
  const e = document.createElement(tag);
  if (className) e.className = className;
  e.append(...children);
  return e;
};

function when(record) {
  if (!record.captured_at) return `${record.first_seen_s.toFixed(1)} s`;
  const at = new Date(record.captured_at);
  const time = at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return at.toDateString() === new Date().toDateString() ? time : `${at.toLocaleDateString()} ${time}`;
}

function confidence(value) {
  const bar = element("i");
  bar.style.width = `${Math.round(100 * value)}%`;
  const sure = element("span", `sure ${value >= 0.9 ? "" : value >= 0.7 ? "fair" : "poor"}`, bar);
  sure.title = `confidence ${Math.round(100 * value)} %`;
  sure.setAttribute("role", "img");
  sure.setAttribute("aria-label", sure.title);
  return sure;
}

// A text that was voted for, with what differs from the plate marked.
function compared(text, plate) {
  if (text.length !== plate.length) return [document.createTextNode(text)];
  return [...text].map((c, i) => (c === plate[i] ? document.createTextNode(c) : element("b", "", c)));
}

function votes(record) {
  const total = Math.max(...record.votes.map((vote) => vote.weight), 1e-9);
  const rows = record.votes.slice(0, 12).map((vote) => {
    const bar = element("span", "bar");
    bar.style.width = `${Math.max(2, 100 * vote.weight / total)}%`;
    return element("tr", "",
      element("td", "", ...compared(vote.text, record.plate)),
      element("td", "", vote.variant),
      element("td", "", `${vote.frames.length} ${vote.frames.length === 1 ? "frame" : "frames"}`),
      element("td", "", bar));
  });
  const frames = record.frames_read === 1 ? "one frame" : `${record.frames_read} frames`;
  const layout = record.syntax ? `, layout ${record.syntax}` : "";
  const about = element("p", "", `Confidence ${Math.round(100 * record.confidence)} % from ${record.reads} reads of ${frames}${layout}.`);
  const table = element("table", "", element("tbody", "", ...rows));
  if (!record.has_overview) return element("div", "votes", about, table);
  const frame = element("img");
  frame.alt = `the frame of camera ${record.camera} that was read`;
  frame.src = `/api/overview/${encodeURIComponent(record.id)}`;
  return element("div", "votes", about, table, frame);
}

function item(reading) {
  const picture = element("img");
  picture.alt = "";
  picture.loading = "lazy";
  if (reading.has_picture) picture.src = `/api/evidence/${encodeURIComponent(reading.id)}`;
  const time = element("time", "", when(reading));
  if (reading.captured_at) time.dateTime = reading.captured_at;
  const head = element("div", "", element("span", "plate", reading.plate), confidence(reading.confidence),
    element("div", "where", element("span", "", reading.camera), time));
  const details = element("details", "", element("summary", "", picture, head));
  details.addEventListener("toggle", () => {
    if (details.open && details.children.length === 1) details.append(votes(reading));
  });
  const li = element("li", "reading", details);
  li.dataset.id = reading.id;
  return li;
}

export class Feed {
  constructor(list, empty, count) {
    Object.assign(this, { list, empty, count, seen: 0 });
  }

  restart(newestFirst) {
    this.list.replaceChildren();
    this.seen = 0;
    for (const reading of newestFirst.slice().reverse()) this.add(reading, false);
  }

  add(reading, isNew) {
    const known = [...this.list.children].some((li) => li.dataset.id === reading.id);
    if (known) return;
    const li = item(reading);
    if (isNew) li.classList.add("new");
    this.list.prepend(li);
    while (this.list.children.length > KEPT) this.list.lastChild.remove();
    this.seen += 1;
    this.empty.hidden = true;
    this.count.textContent = this.seen === 1 ? "one" : `${this.seen}`;
  }
}

export class Search {
  constructor(form, list, more, none, place) {
    Object.assign(this, { form, list, more, none, place });
    form.addEventListener("submit", (event) => { event.preventDefault(); this.ask(false); });
    more.addEventListener("click", () => this.ask(true));
  }

  async ask(further) {
    const form = this.form.elements;
    const utc = (input) => (input.value ? new Date(input.value).toISOString() : "");
    const query = new URLSearchParams({ plate: form.plate.value, camera: form.camera.value, from: utc(form.from), until: utc(form.until) });
    if (further && this.last) query.set("before", this.last);
    try {
      const answer = await fetch(`/api/search?${query}`);
      if (!answer.ok) throw new Error(await answer.text());
      const found = await answer.json();
      if (!further) this.list.replaceChildren();
      this.list.append(...found.readings.map(item));
      this.last = found.readings.at(-1)?.id.slice(1);
      this.more.hidden = !found.more;
      this.says(this.list.children.length ? "" : "Nothing fits.");
      this.place.textContent = found.place === "database" ? "" : "since the start of this page's node";
    } catch (error) {
      this.says(`The search failed: ${error.message}`);
    }
  }

  says(text) {
    this.none.textContent = text;
    this.none.hidden = text === "";
  }
}
