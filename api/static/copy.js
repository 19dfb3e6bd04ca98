// Buttons that copy a text; they stay hidden where the browser can't.
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("[data-copy]")) {
    const label = button.textContent;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(button.dataset.copy);
      button.textContent = "Copié";
      setTimeout(() => (button.textContent = label), 2000);
    });
    button.setAttribute("aria-live", "polite");
  }
}
