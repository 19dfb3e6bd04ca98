// A disclosure button beside each link that has narrower concepts. Without this script every branch is open.
function disclose(button, list, open) {
  list.hidden = !open;
  button.setAttribute("aria-expanded", String(open));
}

for (const tree of document.querySelectorAll("[data-tree]")) {
  const branches = [...tree.querySelectorAll("li > ul")].map((list) => {
    const button = document.createElement("button");
    const link = list.parentElement.querySelector("a");
    button.type = "button";
    button.setAttribute("aria-controls", list.id);
    button.setAttribute("aria-label", `Sous ${link.textContent.trim()}`);
    button.addEventListener("click", () => disclose(button, list, list.hidden));
    link.before(button);
    disclose(button, list, "open" in list.parentElement.dataset);
    return [button, list];
  });
  const all = document.createElement("div");
  all.className = "socle-tree__all";
  for (const [label, open] of [["Tout déplier", true], ["Tout replier", false]]) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "fr-btn fr-btn--tertiary fr-btn--sm";
    button.textContent = label;
    button.addEventListener("click", () => branches.forEach(([own, list]) => disclose(own, list, open)));
    all.append(button);
  }
  if (branches.length) tree.prepend(all);
  tree.dataset.ready = "";
}
