// Suggestions under a search field (ARIA 1.2 combobox with a list box). The form around it works without them.
const WAIT = 120;

function combobox(form) {
  const input = form.querySelector("input[type=search]");
  const list = document.createElement("ul");
  const said = document.createElement("p");
  let active = -1, timer, asked = 0;
  list.id = `${input.id}-suggestions`;
  list.className = "socle-suggestions";
  list.hidden = true;
  list.setAttribute("role", "listbox");
  list.setAttribute("aria-label", "Suggestions");
  said.className = "fr-sr-only";
  said.setAttribute("role", "status");
  for (const [name, value] of Object.entries({
    role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": list.id,
  })) input.setAttribute(name, value);
  input.parentElement.append(list, said);

  function show(open) {
    list.hidden = !open;
    input.setAttribute("aria-expanded", String(open));
    if (!open) select(-1);
  }
  function select(place) {
    active = place;
    [...list.children].forEach((option, one) => option.setAttribute("aria-selected", String(one === place)));
    if (place < 0) return input.removeAttribute("aria-activedescendant");
    input.setAttribute("aria-activedescendant", list.children[place].id);
    list.children[place].scrollIntoView({ block: "nearest" });
  }
  function go(option) {
    location.assign(option.dataset.address);
  }
  function option(hit, place) {
    const item = document.createElement("li");
    const detail = document.createElement("small");
    item.id = `${list.id}-${place}`;
    item.setAttribute("role", "option");
    item.dataset.address = `/nomenclatures/${hit.nomenclature}/${encodeURIComponent(hit.code)}`;
    item.textContent = hit.prefLabel.fr;
    const other = hit.why.text !== hit.prefLabel.fr && hit.why.text !== hit.code ? [`« ${hit.why.text} »`] : [];
    const state = hit.status === "deprecated" ? ["obsolète"] : [];
    detail.textContent = [hit.code, ...other, ...state, ...hit.path].join(" · ");
    item.append(detail);
    item.addEventListener("mousedown", (event) => { event.preventDefault(); go(item); });
    return item;
  }
  async function suggest() {
    const turn = ++asked;
    const where = new URLSearchParams({ q: input.value, limit: 8 });
    const chosen = form.elements.nomenclature?.value;
    if (chosen) where.set("nomenclature", chosen);
    // Suggestions are of today: none where another release or day is searched.
    const elsewhere = form.elements.release?.value || form.elements.at?.value;
    const text = elsewhere ? "" : input.value.trim();
    const answer = text ? await fetch(`${form.dataset.combobox}?${where}`).catch(() => null) : null;
    const items = answer?.ok ? (await answer.json()).items : [];
    if (turn !== asked) return;
    list.replaceChildren(...items.map(option));
    select(-1);
    show(items.length > 0 && document.activeElement === input);
    said.textContent = text ? `${items.length || "Aucune"} suggestion${items.length > 1 ? "s" : ""}` : "";
  }
  input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(suggest, WAIT); });
  input.addEventListener("blur", () => show(false));
  input.addEventListener("keydown", (event) => {
    const last = list.children.length - 1;
    if (event.key === "Escape" && !list.hidden) { event.preventDefault(); return show(false); }
    if (event.key === "Enter" && active >= 0) { event.preventDefault(); return go(list.children[active]); }
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!step || last < 0) return;
    event.preventDefault();
    if (list.hidden) show(true);
    select(active < 0 && step < 0 ? last : active + step > last ? -1 : active + step);
  });
}

document.querySelectorAll("[data-combobox]").forEach(combobox);
