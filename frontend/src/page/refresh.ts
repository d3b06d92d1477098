/** Keeps a server-rendered page true: when something it shows has changed, the page is fetched again and
 * its [data-refresh] regions are morphed to the new ones. The first change goes at once, then one at a time. */

import { morph } from "./morph";
import { setTitle } from "./title";

const AGAIN_MS = 400;

export class Refresher {
  #running = false;
  #again = false;

  request(): void {
    if (this.#running) {
      this.#again = true;
      return;
    }
    this.#running = true;
    void this.#run();
  }

  async #run(): Promise<void> {
    do {
      this.#again = false;
      await refresh();
      await new Promise((resolve) => window.setTimeout(resolve, AGAIN_MS));
    } while (this.#again);
    this.#running = false;
  }
}

async function refresh(): Promise<void> {
  let text: string;
  try {
    const response = await fetch(window.location.href, { credentials: "same-origin", headers: { Accept: "text/html" } });
    if (!response.ok || response.redirected) return;
    text = await response.text();
  } catch {
    return; // The live indicator tells that the server is away.
  }
  const fresh = new DOMParser().parseFromString(text, "text/html");
  for (const region of document.querySelectorAll<HTMLElement>("[data-refresh]")) {
    const next = fresh.getElementById(region.id);
    if (next !== null) morph(region, next);
  }
  const badges = fresh.querySelectorAll("[data-badge]");
  document.querySelectorAll("[data-badge]").forEach((badge, n) => {
    const next = badges[n];
    if (next !== undefined) morph(badge, next);
  });
  setTitle(fresh.title);
  document.dispatchEvent(new Event("pb-refreshed"));
}
