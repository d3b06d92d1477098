/** `/` goes to the filter, Escape out of it, and a menu closes when one clicks beside it. */

export function keys(): void {
  document.addEventListener("keydown", (event) => {
    const inField = event.target instanceof Element && event.target.closest("input, textarea, select, [contenteditable]") !== null;
    const box = document.querySelector<HTMLInputElement>("[data-filter-box]");
    if (event.key === "/" && !inField && !event.ctrlKey && !event.metaKey && !event.altKey && box !== null) {
      event.preventDefault();
      box.focus();
      box.select();
    } else if (event.key === "Escape") {
      if (event.target === box) box?.blur();
      closeMenus(null);
    }
  });
  document.addEventListener("click", (event) => closeMenus(event.target instanceof Node ? event.target : null));
}

function closeMenus(clicked: Node | null): void {
  for (const menu of document.querySelectorAll<HTMLDetailsElement>("details.menu[open]")) {
    if (clicked === null || !menu.contains(clicked)) menu.open = false;
  }
}
