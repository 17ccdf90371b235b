// A click on the head of a column sorts its table; again, the other way round. The field filters rows by the model's name.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  const text = cell.dataset.value ?? cell.textContent.trim().replaceAll(",", "").replace("\u2212", "-");
  return text === "" ? null : Number.isNaN(Number(text)) ? text : Number(text);
};
const compare = (one, other) =>
  typeof one === "number" && typeof other === "number" ? one - other : String(one).localeCompare(String(other));

function sort(head) {
  const column = head.cellIndex;
  const body = head.closest("table").tBodies[0];
  const direction = head.ariaSort === "descending" ? 1 : head.ariaSort === "ascending" ? -1 : head.classList.contains("number") ? -1 : 1;
  for (const other of head.parentElement.cells) other.removeAttribute("aria-sort");
  head.ariaSort = direction === 1 ? "ascending" : "descending";
  const rows = [...body.rows].map((row) => [valueOf(row, column), row]);
  // What has no value comes last, whatever the direction.
  rows.sort(([one], [other]) => (one === null) - (other === null) || direction * compare(one, other));
  body.append(...rows.map(([, row]) => row));
}

for (const head of document.querySelectorAll("table.sortable thead tr:last-child th")) {
  head.tabIndex = 0;
  head.addEventListener("click", () => sort(head));
  head.addEventListener("keydown", (event) => {
    if (event.key === "Enter") sort(head);
  });
}

const field = document.getElementById("filter");
field.hidden = false;
field.addEventListener("input", () => {
  const words = field.value.toLowerCase().split(/\s+/);
  for (const row of document.querySelectorAll("table.sortable tbody tr")) {
    const name = row.querySelector("th").textContent.toLowerCase();
    row.hidden = !words.every((word) => name.includes(word));
  }
});
