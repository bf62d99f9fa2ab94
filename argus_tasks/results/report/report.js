"use strict";
// Sortable tables: each title becomes a button; a second press turns the order round.
for (const table of document.querySelectorAll("table[data-sort]")) {
  const titles = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  titles.forEach((title, column) => {
    if (title.dataset.fixed !== undefined) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...title.childNodes);
    title.append(button);
    button.addEventListener("click", () => {
      const down = title.getAttribute("aria-sort") === "ascending";
      const keyed = [...body.rows].map((row) => {
        const cell = row.cells[column];
        const text = cell.dataset.v ?? cell.textContent.trim();
        const number = text === "" ? NaN : Number(text);
        return { row, text, number };
      });
      const numeric = keyed.every((k) => k.text === "" || !Number.isNaN(k.number));
      keyed.sort((a, b) => {
        if (a.text === "" || b.text === "") return (a.text === "") - (b.text === "");
        const order = numeric ? a.number - b.number
          : a.text.localeCompare(b.text, undefined, { numeric: true });
        return down ? -order : order;
      });
      body.append(...keyed.map((k) => k.row));
      titles.forEach((other) => other.removeAttribute("aria-sort"));
      title.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}
// What is folded on the screen is open on paper.
addEventListener("beforeprint", () => {
  for (const fold of document.querySelectorAll("section > details")) fold.open = true;
});
