/** A form that the browser itself sends goes once, however often its button is pressed until the next page is there. */

export function sendOnce(): void {
  const sent = new Set<HTMLFormElement>();
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented || !(event.target instanceof HTMLFormElement) || event.target.method !== "post") return;
    if (sent.has(event.target)) event.preventDefault();
    sent.add(event.target);
  });
  // A page that comes back as it was left can be used again.
  window.addEventListener("pageshow", () => sent.clear());
}
