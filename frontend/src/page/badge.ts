/** The counts in rail, tabs and bar. */

export function badge(name: string, count: number): void {
  for (const element of document.querySelectorAll<HTMLElement>(`[data-badge="${name}"]`)) {
    element.hidden = count === 0;
    const said = element.querySelector("[data-count]");
    if (said !== null) said.textContent = String(count);
  }
}
