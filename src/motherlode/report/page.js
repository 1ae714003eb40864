// Tips on hover and focus, and tables that sort; without this script the page loses nothing but these.
"use strict";

const bubble = document.getElementById("tip");

function say(mark, x, y) {
  bubble.textContent = mark.dataset.tip;
  bubble.hidden = false;
  const width = bubble.offsetWidth;
  bubble.style.left = Math.max(8, Math.min(x - width / 2, innerWidth - width - 8)) + "px";
  bubble.style.top = Math.max(8, y - bubble.offsetHeight - 12) + "px";
}

for (const mark of document.querySelectorAll(".tip")) {
  // one bubble, not the browser's own beside it
  const title = mark.querySelector("title");
  mark.dataset.tip = title.textContent;
  mark.setAttribute("aria-label", title.textContent);
  title.remove();
  mark.addEventListener("pointermove", (event) => say(mark, event.clientX, event.clientY));
  mark.addEventListener("focus", () => {
    const box = mark.getBoundingClientRect();
    say(mark, box.left + box.width / 2, box.top);
  });
  for (const end of ["pointerleave", "blur"]) mark.addEventListener(end, () => (bubble.hidden = true));
}

for (const button of document.querySelectorAll("th button")) {
  button.addEventListener("click", () => {
    const head = button.parentElement;
    const column = head.cellIndex;
    const down = head.getAttribute("aria-sort") !== "descending";
    for (const other of head.parentElement.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const body = head.closest("table").tBodies[0];
    const key = (row) => row.cells[column].dataset.value ?? row.cells[column].textContent;
    const compare = (a, b) => (column ? Number(key(a)) - Number(key(b)) : key(a).localeCompare(key(b)));
    body.append(...[...body.rows].sort((a, b) => (down ? compare(b, a) : compare(a, b))));
  });
}
