import { $, address, call, el, Failed, givenName, number, percent } from "./talk.js";

const GRADES = ["Irrelevant", "Moderately relevant", "Relevant"];
const ROLES = { label: "Label", judge: "Judge" };
const KEYS = { 1: 0, 2: 1, 3: 2 };

let name = givenName;
let pair = null;
let phase = "start"; // start, choosing, revealed, done
let busy = false; // one thing at a time: a key pressed meanwhile was not meant for what is not seen yet
let looking = Promise.resolve(); // what the page does by itself makes a key wait, not go unheard

/* ---- what is shown ---- */

function place(next) {
  phase = next;
  $("start").hidden = phase !== "start";
  $("work").hidden = phase !== "choosing" && phase !== "revealed";
  $("done").hidden = phase !== "done";
  $("bar").hidden = (phase === "start" || phase === "done") && $("error").hidden;
  $("choosing").hidden = phase !== "choosing";
  $("revealed").hidden = phase !== "revealed";
}

function showPair(next, note = "") {
  pair = next;
  if (!pair) return showDone();
  $("query").textContent = pair.query;
  $("locale").textContent = pair.locale ?? "";
  $("locale").hidden = !pair.locale;
  const { item } = pair;
  $("taxonomy").textContent = item.taxonomy.join(" › ");
  $("title").textContent = item.title;
  $("brand").textContent = item.brand ?? "";
  $("attributes").replaceChildren(
    ...item.attributes.flatMap(([label, value]) => [el("dt", (label ?? "").replaceAll("_", " ")), el("dd", value)]),
  );
  $("description").textContent = item.description ?? "";
  for (const id of ["taxonomy", "brand", "attributes", "description"]) $(id).hidden = !$(id).textContent;
  showImage(pair.image);
  showEngagement(pair.engagement);
  $("verdicts").replaceChildren(); // of the pair before, or of this one when it is judged again
  place("choosing");
  $("pair").scrollTop = 0;
  $("main").scrollTop = 0;
  $("query").focus({ preventScroll: true });
  say(note || `Query: ${pair.query}. Item: ${item.title}.`);
}

function showImage(source) {
  const image = $("image");
  image.hidden = true;
  image.removeAttribute("src");
  $("no-image").textContent = source ? "Loading the image" : "No image";
  $("no-image").hidden = false;
  if (source) image.src = source.startsWith("image/") ? address(source) : source;
}

$("image").addEventListener("load", () => {
  $("image").hidden = false;
  $("no-image").hidden = true;
});
$("image").addEventListener("error", () => {
  $("image").hidden = true;
  $("no-image").hidden = false;
  $("no-image").textContent = "The image cannot be loaded";
});

function showEngagement(counts) {
  const box = $("engagement");
  box.hidden = !counts || !Object.keys(counts).length;
  const of = { clicks: "impressions", adds: "clicks", purchases: "clicks" };
  box.replaceChildren(
    ...Object.entries(counts ?? {}).map(([what, count]) => {
      const figure = el("p");
      figure.append(el("b", number(count)), el("span", what));
      const base = counts[of[what]];
      if (base) figure.append(el("small", `${percent(count / base)} of ${of[what]}`));
      return figure;
    }),
  );
}

function showVerdicts(grade, earlier) {
  const rows = [{ role: "you", who: null, grade, reason: null }, ...earlier].map((one) => {
    const line = el("tr");
    const who = el("th", one.role === "you" ? "You" : ROLES[one.role]);
    who.scope = "row";
    if (one.who) who.append(el("small", one.who));
    const said = el("td");
    said.append(el("b", GRADES[one.grade]));
    if (one.role !== "you") said.append(el("span", one.grade === grade ? "as you" : "differs", one.grade === grade ? "same" : "other"));
    if (one.reason) said.append(el("p", one.reason));
    line.append(who, said);
    return line;
  });
  $("verdicts").replaceChildren(...rows);
  place("revealed");
  $("onward").focus();
  say(`Saved: ${GRADES[grade]}. ${earlier.map((one) => `${ROLES[one.role]}: ${GRADES[one.grade]}.`).join(" ")}`);
}

function showDone() {
  const already = phase === "done";
  place("done");
  if (!already) $("done-title").focus(); // looking again every few seconds must not take the focus away
}

function showStanding(standing) {
  const { mine, done, total, left, skipped } = standing;
  const share = total ? done / total : 1;
  $("count").textContent = `${number(done)} of ${number(total)} verdicts`;
  $("count").title = `${number(mine)} by you, ${number(left)} left for you`;
  const speed = standing.seconds_each ? `${standing.seconds_each < 10 ? standing.seconds_each.toFixed(1) : Math.round(standing.seconds_each)} s each` : "";
  $("time").textContent = [`${number(left)} left${skipped ? ` (${number(skipped)} skipped)` : ""}`, speed, standing.seconds_left && left ? `about ${duration(standing.seconds_left)}` : ""].filter(Boolean).join(" · ");
  $("progress-bar").style.width = `${100 * share}%`;
  $("progress").setAttribute("aria-valuenow", Math.floor(100 * share));
  $("progress").setAttribute("aria-valuetext", `${done} of ${total} verdicts`);
  $("agreement").replaceChildren(
    ...standing.agreement.map((one) => {
      const other = one.people.find((person) => person !== name);
      const kappa = one.quadratic_kappa === null ? "–" : one.quadratic_kappa.toFixed(2);
      const chip = el("span", `${other}: ${percent(one.accuracy)}, κ ${kappa}, n ${one.n}`, "tag");
      chip.title = `You and ${other}: ${one.n} shared pairs, ${percent(one.accuracy)} the same grade, quadratic kappa ${kappa}`;
      return chip;
    }),
  );
  $("done-title").textContent = left ? "Others have the last pairs on their screens" : "Nothing is left for you";
  $("done-text").textContent = `You have given ${number(mine)} verdicts; the queue has ${number(done)} of ${number(total)}.${left ? " This page looks again every few seconds." : ""}`;
  document.title = left ? `${number(left)} left · Review` : "Done · Review";
}

function duration(seconds) {
  const minutes = Math.round(seconds / 60);
  if (minutes < 1) return "a minute";
  return minutes < 60 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

const say = (text) => ($("said").textContent = text);

function fail(error) {
  if (!(error instanceof Failed)) throw error;
  $("error").textContent = error.message;
  $("error").hidden = false;
  $("bar").hidden = false;
}

/* ---- what the person does ---- */

async function once(work) {
  if (busy) return;
  busy = true;
  try {
    await looking;
    await work();
    $("error").hidden = true;
    place(phase);
  } catch (error) {
    fail(error);
  } finally {
    busy = false;
  }
}

async function next() {
  const answer = await call("api/next", { name });
  name = answer.name;
  $("who").textContent = name;
  showStanding(answer.standing);
  showPair(answer.pair);
}

async function choose(grade) {
  const answer = await call("api/judge", { name, key: pair.key, grade });
  showStanding(answer.standing);
  if (answer.earlier.length) showVerdicts(grade, answer.earlier);
  else await next();
}

async function undo() {
  const answer = await call("api/undo", { name });
  showStanding(answer.standing);
  if (answer.pair) showPair(answer.pair, `Taken back. Judge again: ${answer.pair.query}.`);
  else say("There is nothing to take back.");
}

async function skip() {
  const answer = await call("api/skip", { name, key: pair.key });
  showStanding(answer.standing);
  showPair(answer.pair);
}

async function begin() {
  await next();
  history.replaceState(null, "", address(location.pathname, name));
  $("to-summary").href = address("summary", name);
  showRubric().catch(fail); // not waited for: keys count as soon as the pair is there
}

async function showRubric() {
  const { version, html } = await call("api/rubric");
  $("rubric").innerHTML = html; // the server wrote it, all text in it escaped
  $("rubric-version").textContent = version;
}

function look() {
  if (document.hidden || phase === "start" || busy) return;
  const trying = phase === "done" ? next() : call(`api/standing?${new URLSearchParams({ name })}`).then(showStanding);
  looking = trying.catch(() => {}); // should something be wrong, the next key will tell
}

document.addEventListener("keydown", (event) => {
  const typing = event.target instanceof HTMLInputElement;
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || typing || $("help").open) return;
  const onButton = event.target.closest?.("button, a, summary");
  const key = event.key.toLowerCase();
  if (key === "?") openHelp();
  else if (phase === "choosing" && key in KEYS) once(() => choose(KEYS[key]));
  else if (phase === "choosing" && key === "s") once(skip);
  else if (phase !== "start" && key === "u") once(undo);
  else if (phase === "revealed" && (key === "enter" || key === " ") && !onButton) once(next);
  else return;
  event.preventDefault();
});

const openHelp = () => $("help").showModal();

for (const button of document.querySelectorAll("[data-grade]")) {
  button.addEventListener("click", () => once(() => choose(Number(button.dataset.grade))));
}
for (const id of ["undo", "undo-shown", "done-undo"]) $(id).addEventListener("click", () => once(undo));
$("skip").addEventListener("click", () => once(skip));
$("onward").addEventListener("click", () => once(next));
$("help-button").addEventListener("click", openHelp);
$("start").addEventListener("submit", (event) => {
  event.preventDefault();
  name = $("name").value;
  once(begin);
});

$("rubric-box").open = matchMedia("(min-width: 900px)").matches;
setInterval(look, 2000);
if (name) once(begin).then(() => pair || phase === "done" || nameAgain());
else nameAgain();

function nameAgain() {
  place("start");
  $("name").value = name;
  $("name").focus();
}
