"""How the page of a report looks and what it does: style and script stand in the page itself."""

STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; max-width: 76rem; margin: 0 auto;
  padding: 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.25rem; margin-top: 3rem; border-bottom: 1px solid #ddd; }
a { color: #0050a0; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 1rem .25rem 0; text-align: right; vertical-align: baseline; white-space: nowrap; }
th { vertical-align: bottom; border-bottom: 1px solid #888; }
th button { all: unset; cursor: pointer; font-weight: 600; white-space: normal; }
th button:hover, th button:focus-visible { text-decoration: underline; }
th[aria-sort=ascending] button::after { content: " \\25B2"; }
th[aria-sort=descending] button::after { content: " \\25BC"; }
td { border-bottom: 1px solid #eee; }
th:first-child, td:first-child { position: sticky; left: 0; background: #fff; min-width: 10rem; max-width: 20rem; }
.text { text-align: left; white-space: normal; overflow-wrap: anywhere; }
td.text { min-width: 7rem; max-width: 26rem; } td.text:last-child:not(:first-child) { min-width: 14rem; }
.small { color: #666; } td.text .small { display: block; font-size: .75rem; line-height: 1.3; }
.settings, figcaption, details { font-size: .875rem; overflow-wrap: anywhere; }
figure { margin: 1.5rem 0; } figure svg { width: 100%; height: auto; display: block; }
code { font-size: .8125rem; overflow-wrap: anywhere; }
.value { cursor: crosshair; pointer-events: all; }
.value:hover { fill: #000; fill-opacity: .15; }
#tip { position: fixed; z-index: 1; max-width: 20rem; padding: .25rem .5rem; border-radius: .25rem; background: #1a1a1a;
  color: #fff; font-size: .8125rem; white-space: pre-line; pointer-events: none; }
#tip[hidden] { display: none; }
@media (max-width: 40rem) { body { padding: .5rem; }
  th:first-child, td:first-child { min-width: 7rem; max-width: 9rem; }
  td.text { max-width: 15rem; } }
"""
SCRIPT = """
for (const table of document.querySelectorAll("table")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  const key = (row, i) => row.cells[i].dataset.value ?? row.cells[i].textContent;
  const compare = (a, b) => a - b || (a == b ? 0 : a.localeCompare(b, "en", { numeric: true }));
  heads.forEach((head, i) => head.querySelector("button").addEventListener("click", () => {
    const order = head.getAttribute("aria-sort") === "ascending" ? "descending" : "ascending";
    heads.forEach(other => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", order);
    const rows = [...body.rows].sort((a, b) => {
      const [x, y] = [key(a, i), key(b, i)];
      if (!x || !y) return !x - !y;  // what has no value stands last
      return order === "ascending" ? compare(x, y) : compare(y, x);
    });
    body.append(...rows);
  }));
}
const tip = document.body.appendChild(document.createElement("div"));
tip.id = "tip";
tip.hidden = true;
for (const spot of document.querySelectorAll("svg .value")) {
  const title = spot.querySelector("title");
  spot.setAttribute("aria-label", title.textContent);
  title.remove();  // else the browser says it a second time
}
document.addEventListener("pointerover", event => {
  const spot = event.target.closest("svg .value");
  tip.hidden = !spot;
  if (!spot) return;
  tip.textContent = spot.getAttribute("aria-label");
  const { right, bottom, top } = spot.getBoundingClientRect();
  tip.style.left = Math.max(4, Math.min(right + 4, innerWidth - tip.offsetWidth - 8)) + "px";
  tip.style.top = (bottom + tip.offsetHeight + 4 < innerHeight ? bottom + 4 : top - tip.offsetHeight - 4) + "px";
});
"""
