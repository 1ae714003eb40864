// The search page. Texts of the shop are only ever set as text; nothing is fetched from elsewhere.

const GRADES = ["Irrelevant", "Moderately relevant", "Relevant"];
const MODES = ["hybrid", "dense", "lexical", "sparse"];
const RESULTS = 20;
const $ = (id) => document.getElementById(id);
const number = (value) => value.toLocaleString("en-GB");
const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
const plural = (count, noun) => `${number(count)} ${noun}${count === 1 ? "" : "s"}`;

function el(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

const button = (text, className, onclick) => el("button", { type: "button", className, onclick }, text);

// what is asked for: all of it stands in the address
const given = new URLSearchParams(location.search);
const state = { q: given.get("q") ?? "", filters: given.getAll("filter"), compare: given.has("compare"), scores: given.has("scores") };
let facts = { indexes: [], filters: {}, grading: false };
const opened = new Set(); // items whose scores are shown, on either side
const grades = new Map(); // what this person graded here: query and item -> grade

/** That function, once nobody has called it for a while. */
function later(act, wait) {
  let waiting = 0;
  return (...values) => {
    clearTimeout(waiting);
    waiting = setTimeout(act, wait, ...values);
  };
}

// browsers refuse an address that changes at every key press
const remember = later(() => {
  const kept = new URLSearchParams(state.q ? { q: state.q } : {});
  for (const filter of state.filters) kept.append("filter", filter);
  for (const flag of ["compare", "scores"]) if (state[flag]) kept.set(flag, "");
  for (const { index, mode, threshold, end } of shown()) {
    if (facts.indexes.length > 1) kept.set(`index${end}`, index);
    if (mode !== "hybrid" || end) kept.set(`mode${end}`, mode);
    if (threshold !== null) kept.set(`t${end}`, threshold);
  }
  history.replaceState(null, "", `${location.pathname}${String(kept) && "?"}${kept}`);
}, 200);

const failed = (message, status = 0) => Object.assign(new Error(message), { status, told: true });

async function call(path, body) {
  const headers = body ? { "Content-Type": "application/json" } : {};
  const key = sessionStorage.getItem("key");
  if (key) headers.Authorization = `Bearer ${key}`;
  const response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) }).catch(() => {
    throw failed("The server does not answer: see whether it is still running, then try again.");
  });
  const answer = await response.json().catch(() => null);
  if (response.ok && answer) return answer;
  throw failed(answer?.error?.message ?? `The server answered ${response.status}: see its terminal.`, response.status);
}

function fail(error) {
  if (!error.told) throw error;
  $("error").textContent = error.message;
  $("error").hidden = false;
  if (![401, 403].includes(error.status) || $("locked").open) return;
  $("locked-why").textContent = error.message;
  $("locked").showModal();
}

const say = later((text) => ($("said").textContent = text), 400); // whoever listens hears the last of many, not each

/** One index in one mode, its threshold and its hits. */
class Side {
  constructor(letter, end) {
    this.letter = letter;
    this.end = end; // of its names in the address
    this.index = given.get(`index${end}`) ?? "";
    this.mode = MODES.find((mode) => mode === given.get(`mode${end}`)) ?? "";
    const threshold = parseFloat(given.get(`t${end}`));
    this.threshold = Number.isFinite(threshold) ? threshold : null; // null: everything stays
    this.asked = this.shown = 0; // numbers of requests: an answer older than the one shown is dropped
    this.answer = this.query = null;
    this.rows = new Map(); // item -> its row
    this.root = $("side").content.cloneNode(true).firstElementChild;
    this.root.setAttribute("aria-label", `Results ${letter}`);
    this.part = (name) => this.root.querySelector(`.${name}`);
    this.part("letter").textContent = letter;
    this.part("cut").open = matchMedia("(min-width: 900px)").matches;
    // scores of two models are not of one scale, so a threshold does not outlive its index
    this.part("index").onchange = ({ target }) => this.change({ index: target.value, threshold: null });
    this.part("mode").onchange = ({ target }) => this.change({ mode: target.value });
    this.part("slider").oninput = ({ target }) => this.cut(target.valueAsNumber > this.low ? target.valueAsNumber : null);
    $("sides").append(this.root);
  }

  change(to) {
    Object.assign(this, to).draw();
    this.ask(true);
    remember();
  }

  across(score) {
    return 100 * Math.min(1, Math.max(0, (score - this.low) / (this.high - this.low || 1)));
  }

  /** What depends on the index alone: the choices, the curve of expected precision, the marks to snap to. */
  draw() {
    this.facts = facts.indexes.find((index) => index.name === this.index);
    this.part("index").replaceChildren(...facts.indexes.map(({ name }) => new Option(name, name)));
    this.part("index").value = this.index;
    this.part("which").hidden = facts.indexes.length < 2;
    const legs = this.facts?.legs ?? [];
    for (const choice of this.part("mode").options) choice.hidden = choice.disabled = ![MODES[0], ...legs].includes(choice.value);
    if (legs.length && ![MODES[0], ...legs].includes(this.mode)) this.mode = MODES[0];
    this.part("mode").value = this.mode;
    const { thresholds, precision_curve: curve } = this.facts ?? {};
    this.marks = thresholds ? [null, thresholds[1], thresholds[2]] : [null];
    const ends = [...(curve?.map((point) => point[0]) ?? [0, 1]), ...this.marks.slice(1)];
    [this.low, this.high] = [Math.min(...ends), Math.max(...ends)];
    const line = (grade) => curve?.map((point) => `${this.across(point[0])},${100 * (1 - point[grade])}`).join(" ") ?? "";
    for (const grade of [1, 2]) this.part(`line${grade}`).setAttribute("points", line(grade));
    this.part("plot").hidden = !curve;
    Object.assign(this.part("slider"), { min: this.low, max: this.high, value: this.threshold ?? this.low, disabled: !curve && !thresholds });
    const name = (mark, grade) => (mark === null ? "All" : `Grade ${grade}: ≥ ${mark.toFixed(2)}`);
    this.part("snaps").replaceChildren(...this.marks.map((mark, grade) => button(name(mark, grade), "snap", () => this.cut(mark, true))));
  }

  /** Ask the server. `anew`: what was asked before no longer fits, so its answer must not appear. */
  async ask(anew = false) {
    if (anew) this.shown = this.asked;
    const turn = ++this.asked;
    const query = state.q;
    try {
      let answer = null;
      if (query.trim()) {
        this.root.setAttribute("aria-busy", "true");
        const wanted = new URLSearchParams({ q: query, k: RESULTS, mode: this.mode || "hybrid", explain: "true" });
        if (this.index) wanted.set("index", this.index);
        for (const filter of state.filters) wanted.append("filter", filter);
        answer = await call(`search?${wanted}`);
      }
      if (turn <= this.shown) return;
      this.shown = turn;
      this.show(answer, query);
      $("error").hidden = true;
      if (answer && this.facts && answer.index.version !== this.facts.version) await learn(); // another was swapped in
    } catch (error) {
      if (turn > this.shown) fail(error);
    } finally {
      if (turn === this.asked) this.root.removeAttribute("aria-busy");
    }
  }

  show(answer, query) {
    Object.assign(this, { answer, query });
    const hits = answer?.hits ?? [];
    const list = this.part("hits");
    const held = list.contains(document.activeElement);
    const strongest = Math.max(...hits.map((hit) => hit.lexical ?? 0), 1e-9);
    this.rows = new Map(hits.map((hit) => [hit.item_id, makeRow(this, hit, strongest)]));
    list.replaceChildren(...[...this.rows.values()].map((row) => row.root));
    if (hits.length) list.firstElementChild.tabIndex = 0;
    if (held) (list.firstElementChild ?? $("q")).focus();
    this.part("told").title = answer ? `Version ${answer.index.version} of the index ${answer.index.name}` : "";
    this.part("told").textContent = answer ? `${plural(hits.length, "item")} · ${answer.took_ms.toFixed(1)} ms` : "";
    this.paint();
    compare();
    if (answer) say(`${state.compare ? `${this.letter}: ` : ""}${this.summary()}`);
  }

  summary() {
    if (!this.answer) return "";
    if (this.answer.nothing_relevant && this.rows.size) return `Nothing relevant for “${this.query}”.`;
    const away = this.away ? `, ${number(this.away)} fall away` : "";
    return this.rows.size ? `${plural(this.rows.size, "item")} for “${this.query}”${away}.` : `No item for “${this.query}”.`;
  }

  cut(threshold, moved = false) {
    this.threshold = threshold;
    if (moved) this.part("slider").value = threshold ?? this.low;
    this.paint();
    say(this.summary());
    remember();
  }

  /** What depends on the threshold too: who falls away, what precision to expect of those who stay, what is said. */
  paint() {
    const { threshold, answer, marks } = this;
    const { thresholds, precision_curve: curve, items } = this.facts ?? {};
    const rows = [...this.rows.values()];
    const scored = rows.filter((row) => row.score > -Infinity);
    const falls = (row) => threshold !== null && row.score < threshold;
    for (const row of rows) row.root.classList.toggle("away", falls(row));
    this.away = rows.filter(falls).length;
    const at = threshold === null ? "all stay" : `≥ ${threshold.toFixed(3)}`;
    this.part("at").textContent = at;
    this.part("slider").setAttribute("aria-valuetext", at);
    this.part("cursor").hidden = threshold === null;
    this.part("cursor").style.left = `${this.across(threshold ?? this.low)}%`;
    this.part("rug").replaceChildren(...scored.map((row) => el("i", { className: row.stratum })));
    scored.forEach((row, place) => (this.part("rug").children[place].style.left = `${this.across(row.score)}%`));
    [...this.part("snaps").children].forEach((snap, place) => snap.setAttribute("aria-pressed", marks[place] === threshold));
    const soft = (text) => el("span", { className: "soft" }, text);
    const share = (grade, words, value) => el("span", { className: `key key${grade}` }, el("b", {}, percent(value)), ` ${words}`);
    // what is at or above a threshold between two points is what is at or above the higher one
    const expected = curve && (curve.find((point) => point[0] >= (threshold ?? this.low)) ?? curve.at(-1));
    this.part("expected").replaceChildren(...(expected
      ? [soft("Expected precision of what stays"), share(1, "grade 1 or 2", expected[1]), share(2, "grade 2", expected[2])]
      : [soft(thresholds ? "No precision was measured for this index." : "This index has no thresholds, so grades are unknown.")]));
    this.part("tally").textContent = [
      rows.length ? `${number(rows.length - this.away)} stay, ${number(this.away)} fall away.` : "",
      expected ? `Of the validation pairs ${percent(expected[3])} stay.` : "",
      rows.length > scored.length ? `${number(rows.length - scored.length)} found by words alone, without a score of meaning.` : "",
    ].filter(Boolean).join(" ");
    const hint = `Type to search${items ? ` ${plural(items, "item")}` : ""}: results appear at every key press.`;
    const drop = answer && !rows.length && state.filters.length ? button("Drop the filters", "tool", () => narrow([])) : "";
    const notice = !answer ? hint : answer.nothing_relevant || !rows.length ? this.summary() : "";
    this.part("notice").hidden = !notice;
    this.part("notice").replaceChildren(notice, rows.length ? " The nearest items are below." : " ", drop);
    this.root.classList.toggle("nothing", Boolean(answer?.nothing_relevant));
  }
}

function makeRow(side, hit, strongest) {
  const root = $("hit").content.cloneNode(true).firstElementChild;
  const part = (name) => root.querySelector(`.${name}`);
  const stratum = hit.grade === null ? "none" : `of${hit.grade}`;
  const row = { root, hit, side, part, stratum, score: hit.dense ?? -Infinity };
  root.dataset.item = hit.item_id;
  root.classList.add(stratum);
  part("rank").textContent = hit.rank;
  part("title").textContent = hit.title;
  part("stratum").textContent = hit.grade === null ? "Grade unknown" : `${hit.grade} ${GRADES[hit.grade]}`;
  const path = (depth) => hit.taxonomy.slice(0, depth + 1).map(escaped).join("/");
  const crumbs = (hit.taxonomy ?? []).map((level, depth) => button(level, "crumb", () => narrowTo("taxonomy", path(depth))));
  if (hit.brand) part("where").append(button(hit.brand, "crumb", () => narrowTo("brand", hit.brand)), crumbs.length ? " · " : "");
  part("where").append(...crumbs.flatMap((crumb, depth) => (depth ? [" › ", crumb] : [crumb])));
  const picture = { className: "image", alt: "", loading: "lazy", referrerPolicy: "no-referrer", src: hit.image };
  if (hit.image) part("body").before(el("img", { onerror: ({ target }) => target.remove(), ...picture }));
  const leg = (name, value, rank, share, digits) => {
    const known = typeof value === "number";
    const bar = el("i", { className: "bar", hidden: !known });
    bar.style.setProperty("--share", known ? Math.min(1, Math.max(0, share)) : 0);
    const said = known ? el("b", {}, value.toFixed(digits)) : el("span", { className: "soft" }, "not found by this leg");
    part("scores").append(el("dt", {}, name), el("dd", {}, bar, said, rank ? ` rank ${number(rank)}` : ""));
  };
  leg("Score", hit.score, 0, side.mode === "lexical" ? hit.score / strongest : hit.score, 3);
  leg("Meaning", hit.dense, hit.dense_rank, hit.dense, 3);
  leg("Words", hit.lexical, hit.lexical_rank, hit.lexical / strongest, 2);
  if (side.facts.legs.includes("sparse")) leg("Learnt words", hit.sparse, hit.sparse_rank, hit.sparse, 3);
  if (hit.expected_precision !== null) {
    part("scores").append(el("dt", {}, "Precision"), el("dd", {}, `${percent(hit.expected_precision)} of such scores are of grade 1 or 2`));
  }
  part("scores").append(el("dt", {}, "Item"), el("dd", {}, hit.item_id));
  part("why").onclick = () => open(row);
  part("judge").hidden = !facts.grading;
  row.choices = [...root.querySelectorAll("[data-grade]")];
  row.choices.forEach((choice, grade) => (choice.onclick = () => judge(row, grade)));
  refresh(row);
  return row;
}

/** What may change while the hit stays: whether its scores are open, and the grade it was given. */
function refresh({ root, hit, side, part, choices }) {
  const isOpen = state.scores || opened.has(hit.item_id);
  root.classList.toggle("open", isOpen);
  part("scores").hidden = !isOpen;
  part("why").setAttribute("aria-expanded", isOpen);
  const mine = grades.get(JSON.stringify([side.query, hit.item_id]));
  choices.forEach((choice, grade) => choice.setAttribute("aria-pressed", grade === mine));
}

const twins = (item) => shown().flatMap((side) => side.rows.get(item) ?? []);

function open({ hit }) {
  if (!opened.delete(hit.item_id)) opened.add(hit.item_id);
  twins(hit.item_id).forEach(refresh);
}

async function judge({ hit, side: { query } }, grade) {
  if (!facts.grading) return;
  try {
    await call("grades", { query, item_id: hit.item_id, grade }); // of the query answered, whatever is typed by now
    grades.set(JSON.stringify([query, hit.item_id]), grade);
    say(`Saved: ${GRADES[grade]}, ${hit.title}.`);
  } catch (error) {
    fail(error);
  }
  twins(hit.item_id).forEach(refresh);
}

const shown = () => (state.compare ? sides : sides.slice(0, 1));

/** Mark in each list where the other differs. */
function compare() {
  const [a, b] = sides;
  const both = Boolean(state.compare && a.answer && b.answer && a.query === b.query);
  for (const [side, other] of [[a, b], [b, a]]) {
    for (const [item, { root, hit, part }] of side.rows) {
      const twin = both ? other.rows.get(item)?.hit : null;
      const by = twin ? twin.rank - hit.rank : 0;
      const [kind, sign, words] = !twin ? ["alone", `only ${side.letter}`, `Only in ${side.letter}`]
        : by > 0 ? ["up", `▲ ${by}`, `${plural(by, "place")} higher than in ${other.letter}`]
        : by < 0 ? ["down", `▼ ${-by}`, `${plural(-by, "place")} lower than in ${other.letter}`]
        : ["same", "=", `Same place as in ${other.letter}`];
      const sight = el("span", { ariaHidden: "true" }, sign);
      const regraded = twin && twin.grade !== hit.grade ? el("small", {}, `grade ${twin.grade ?? "–"} in ${other.letter}`) : "";
      Object.assign(part("moved"), { hidden: !both, className: `moved ${kind}`, title: words });
      part("moved").replaceChildren(...(both ? [sight, el("span", { className: "unseen" }, words), regraded] : []));
      root.classList.toggle("alone", both && !twin);
    }
  }
  const shared = both ? [...a.rows.values()].filter((row) => b.rows.has(row.hit.item_id)) : [];
  const same = shared.filter(({ hit }) => b.rows.get(hit.item_id).hit.rank === hit.rank).length;
  $("difference").hidden = !both;
  $("difference").textContent = `${plural(shared.length, "item")} on both sides, ${number(same)} in the same place; `
    + `${number(a.rows.size - shared.length)} only in A, ${number(b.rows.size - shared.length)} only in B.`;
}

function pointAtTwin({ target }) {
  const item = target.closest(".hit")?.dataset.item;
  for (const side of sides) for (const [id, row] of side.rows) row.root.classList.toggle("twin", state.compare && id === item);
}

const narrow = (filters) => ((state.filters = filters), frame(), askAll(true));

const escaped = (level) => level.replaceAll("/", "\\/"); // a slash parts the levels of a path
const unescaped = (path) => path.split(/(?<!\\)\//).join(" › ").replaceAll("\\/", "/");

/** Add a condition; of taxonomy and price there is one, of the others any of several. */
function narrowTo(name, value) {
  const single = ["taxonomy", "price"].includes(name);
  const others = state.filters.filter((filter) => filter !== `${name}:${value}` && !(single && filter.startsWith(`${name}:`)));
  narrow(value ? [...others, `${name}:${value}`] : others);
}

/** All around the results that follows from the state. */
function frame() {
  const chips = state.filters.map((filter) => {
    const [, name, value] = filter.match(/^([^:]*):?(.*)$/s);
    const said = name === "taxonomy" ? unescaped(value) : name === "price" ? value.replace("..", " to ") : value;
    const text = `${name === "taxonomy" ? "category" : name.replaceAll("_", " ")}: ${said}`;
    const made = button(text, "chip", () => narrow(state.filters.filter((other) => other !== filter)));
    return el("li", {}, Object.assign(made, { ariaLabel: `Drop the filter ${text}` }));
  });
  $("chips").replaceChildren(...chips);
  $("chips").hidden = $("filter-count").hidden = !chips.length;
  $("filter-count").textContent = chips.length;
  const price = state.filters.find((filter) => filter.startsWith("price:"))?.slice(6).split("..") ?? [];
  ["low", "high"].forEach((end, place) => ($(end).value = price[place] ?? ""));
  for (const flag of ["compare", "scores"]) $(`to-${flag}`).setAttribute("aria-pressed", state[flag]);
  $("sides").classList.toggle("two", state.compare);
  sides[1].root.hidden = !state.compare;
  remember();
}

const askAll = (anew) => shown().forEach((side) => side.ask(anew));

function toggle(flag) {
  state[flag] = !state[flag];
  if (flag === "scores") opened.clear();
  frame();
  for (const side of sides) for (const row of side.rows.values()) refresh(row);
  compare();
  if (flag === "compare" && state.compare) sides[1].ask(true);
}

function toggleFilters() {
  const hidden = ($("filters").hidden = !$("filters").hidden);
  $("to-filters").setAttribute("aria-expanded", !hidden);
  if (!hidden) $("taxonomy").focus();
}

const KEYS = {
  "/": () => $("q").select(),
  "?": () => $("help").showModal(),
  s: () => toggle("scores"),
  c: () => toggle("compare"),
  f: toggleFilters,
  t: (row) => {
    const { part } = row?.side ?? sides[0];
    part("cut").open = true;
    part("slider").focus();
  },
};

function keys(event) {
  const { target, key } = event;
  if (event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (target.matches("select, input:not(#q, .slider)") || (target.matches(".slider") && /^(Arrow.*|\d)$/.test(key))) return;
  const here = target.closest(".side .hit");
  const row = here && twins(here.dataset.item).find((one) => one.root === here);
  let to = target.id === "q" && key === "ArrowDown" && document.querySelector(".side:not([hidden]) .hit");
  if (row && ["ArrowDown", "j"].includes(key)) to = here.nextElementSibling ?? here;
  if (row && ["ArrowUp", "k"].includes(key)) to = here.previousElementSibling ?? $("q");
  if (row && state.compare && ["ArrowLeft", "ArrowRight"].includes(key)) {
    const list = sides[key === "ArrowLeft" ? 0 : 1];
    to = list.rows.get(row.hit.item_id)?.root ?? list.part("hits").children[row.hit.rank - 1] ?? here;
  }
  if (to) to.focus();
  else if (target.id === "q") return;
  else if (row && ["0", "1", "2"].includes(key)) event.repeat || judge(row, Number(key));
  else if (row && key === "Enter" && target === here) open(row);
  else if (Object.hasOwn(KEYS, key)) KEYS[key](row);
  else return;
  event.preventDefault();
}

async function learn() {
  facts = await call("facts");
  const names = facts.indexes.map(({ name }) => name);
  const another = sides[0].mode === "dense" ? "lexical" : "dense";
  sides.forEach((side, place) => {
    if (!names.includes(side.index)) side.index = names[place] ?? names[0] ?? "";
    side.mode ||= place && names.length < 2 ? another : "hybrid";
    side.draw();
    side.paint();
  });
  const options = (name, values = []) => values.map((value) => new Option(value, `${name}:${name === "taxonomy" ? escaped(value) : value}`));
  const group = ([name, values]) => el("optgroup", { label: name.replaceAll("_", " ") }, ...options(name, values));
  const { brand, taxonomy, attributes = {} } = facts.filters;
  const choices = { taxonomy: options("taxonomy", taxonomy), brand: options("brand", brand), attribute: Object.entries(attributes).map(group) };
  for (const [id, of] of Object.entries(choices)) $(id).replaceChildren(new Option("any", ""), ...of);
}

const begin = () => learn().catch(fail).finally(() => (frame(), askAll(true)));

const sides = [new Side("A", ""), new Side("B", "2")];
for (const side of sides) side.draw();
$("q").value = state.q;
$("q").oninput = () => ((state.q = $("q").value), askAll(), remember());
$("ask").onsubmit = (event) => (event.preventDefault(), askAll());
for (const select of document.querySelectorAll("#filters select")) {
  select.onchange = () => {
    const [, name, value] = select.value.match(/^([^:]*):?(.*)$/s);
    select.value = "";
    if (value) narrowTo(name, value);
  };
}
const price = () => `${$("low").value}..${$("high").value}`;
$("low").onchange = $("high").onchange = () => narrowTo("price", price() === ".." ? "" : price());
$("to-filters").onclick = toggleFilters;
for (const flag of ["compare", "scores"]) $(`to-${flag}`).onclick = () => toggle(flag);
$("to-help").onclick = KEYS["?"];
$("unlock").onsubmit = () => {
  sessionStorage.setItem("key", $("key").value);
  $("key").value = "";
  begin();
};
$("sides").addEventListener("focusin", pointAtTwin);
$("sides").addEventListener("mouseover", pointAtTwin);
document.addEventListener("keydown", keys);
begin();
