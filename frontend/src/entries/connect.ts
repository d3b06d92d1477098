/** The connect page: waits for the first breaker that is new since the page was opened, or for news of the
 * one that the examples name, so that a fleet at work beside it is not taken for the newcomer. */

import "../elements/pb-live";
import type { FrameEvent, PbLive } from "../elements/pb-live";
import { Store } from "../live/store";
import { stateWord, type Summary } from "../model/summary";

const HINT_AFTER_MS = 30_000;
const SVG = "http://www.w3.org/2000/svg";

const live = document.querySelector<PbLive>("pb-live");
const place = document.querySelector<HTMLElement>("pb-first");

if (live !== null && place !== null) {
  const store = new Store();
  let known: Set<string> | null = null;
  const late = window.setTimeout(() => {
    say(place, "hint", "Nothing yet after 30 s. Does the call answer 202? 401: the key is not complete; 403: it lacks a scope; no answer: this address is not reached from there.");
  }, HINT_AFTER_MS);

  live.addEventListener("pb-frame", (event) => {
    const { frame } = event as FrameEvent;
    if (frame.type !== "snapshot" && frame.type !== "changes") return;
    const { changed, gap } = store.apply(frame);
    if (gap) live.resync();
    if (known === null) {
      if (frame.type === "snapshot" && frame.part === frame.parts) known = new Set(store.breakers.keys());
      return;
    }
    const before = known;
    const summary = [...changed].map((id) => store.breakers.get(id)).find((one) => one !== undefined && (!before.has(one.id) || isExample(place, one)));
    if (summary === undefined) return;
    window.clearTimeout(late);
    received(place, summary);
  });
}

function isExample(place: HTMLElement, summary: Summary): boolean {
  const { environment, service, name } = place.dataset;
  return summary.environment === environment && summary.service === service && summary.breaker === name;
}

function received(place: HTMLElement, summary: Summary): void {
  place.dataset["state"] = summary.state;
  place.dataset["breaker"] = summary.id;
  say(place, "word", `Received from ${summary.service}: ${summary.breaker} is ${stateWord(summary.state)}`);
  say(place, "hint", "The panel hears you. Whatever this service's breakers do from now on stands on the board.");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#g-${summary.state}`);
  place.querySelector("[data-first-glyph] svg")?.replaceChildren(use);
  const link = place.querySelector<HTMLAnchorElement>("[data-first-link]");
  if (link !== null) {
    link.hidden = false;
    link.href = `/breakers/${encodeURIComponent(summary.id)}/`;
    link.textContent = "See its page";
  }
}

function say(place: HTMLElement, what: string, words: string): void {
  const target = place.querySelector(`[data-first-${what}]`);
  if (target !== null) target.textContent = words;
}
