import { $, address, call, el, givenName, number, percent } from "./talk.js";

const row = (...cells) => {
  const made = el("tr");
  made.append(...cells.map((cell, at) => el(at ? "td" : "th", cell)));
  made.firstChild.scope = "row";
  return made;
};

async function show() {
  try {
    const { people, agreement, pairs } = await call("api/agreement");
    $("error").hidden = true;
    $("pairs").textContent = `${number(pairs)} pairs in the queue.`;
    const counts = Object.entries(people);
    $("people").tBodies[0].replaceChildren(
      ...(counts.length ? counts.map(([name, count]) => row(name, number(count))) : [row("Nobody yet", "0")]),
    );
    $("agreement").tBodies[0].replaceChildren(
      ...agreement.map((one) =>
        row(
          one.people.join(" and "),
          number(one.n),
          percent(one.accuracy),
          percent(one.within_1),
          one.quadratic_kappa === null ? "–" : one.quadratic_kappa.toFixed(2),
        ),
      ),
    );
    $("agreement").hidden = !agreement.length;
    $("nobody").hidden = agreement.length > 0;
  } catch (error) {
    $("error").textContent = error.message;
    $("error").hidden = false;
  }
}

$("back").href = address("./", givenName);
show();
setInterval(() => document.hidden || show(), 2000);
