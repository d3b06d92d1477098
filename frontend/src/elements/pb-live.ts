/** The live indicator: the truth about the picture on this page. It owns the page's one link and hands
 * out its frames as `pb-frame` events; a page that wants another match than everything sets `match`. */

import { now } from "../live/clock";
import type { Frame, Match } from "../live/frames";
import { browserWorld, Link, type LinkState } from "../live/link";
import { lasting } from "../model/words";
import { markAway } from "../page/title";

export class FrameEvent extends Event {
  constructor(readonly frame: Frame) {
    super("pb-frame");
  }
}

export class LinkEvent extends Event {
  constructor(readonly live: boolean) {
    super("pb-link");
  }
}

const SHOW_MS = 1_000;
/** So long a page that is being left is not called off to the sign-in page. */
const LEAVING_MS = 10_000;

export class PbLive extends HTMLElement {
  #link: Link | null = null;
  #paused = false;
  #heardAt = now();
  #timer: number | undefined;
  #announced: LinkState | "paused" | null = null;
  #leavingAt = -Infinity;

  connectedCallback(): void {
    const match = JSON.parse(this.dataset["match"] ?? "{}") as Match;
    this.#link = new Link(browserWorld(), match, {
      onFrame: (frame) => this.dispatchEvent(new FrameEvent(frame)),
      onState: () => this.#show(),
    });
    this.#link.start();
    this.#timer = window.setInterval(() => this.#show(), SHOW_MS);
    window.addEventListener("online", this.#hurry);
    document.addEventListener("visibilitychange", this.#hurry);
    window.addEventListener("beforeunload", this.#leaving);
  }

  disconnectedCallback(): void {
    this.#link?.stop();
    window.clearInterval(this.#timer);
    window.removeEventListener("online", this.#hurry);
    document.removeEventListener("visibilitychange", this.#hurry);
    window.removeEventListener("beforeunload", this.#leaving);
  }

  get live(): boolean {
    return this.#link?.state === "live" && !this.#paused;
  }

  get paused(): boolean {
    return this.#paused;
  }

  set paused(paused: boolean) {
    this.#paused = paused;
    this.#show();
  }

  /** The picture may be wrong (a version was missed): ask for all of it again. */
  resync(): void {
    this.#link?.subscribe();
  }

  #leaving = (): void => {
    this.#leavingAt = performance.now();
  };

  #hurry = (): void => {
    if (!document.hidden) this.#link?.hurry();
  };

  #show(): void {
    const link = this.#link;
    if (link === null) return;
    if (link.state === "live") this.#heardAt = now() - (performance.now() - (link.lastHeard ?? performance.now()));
    const shown = this.#paused && link.state !== "refused" ? "paused" : link.state;
    const word = this.querySelector(".live-word");
    const age = lasting((now() - this.#heardAt) / 1_000);
    const words = { live: "Live", connecting: "Connecting", paused: "Paused", stale: `Stale · ${age}`, refused: "Signed out" }[shown];
    if (word !== null && word.textContent !== words) word.textContent = words;
    this.dataset["live"] = shown === "live" ? "live" : "stale";
    this.dataset["link"] = shown;
    this.#notice(shown, age);
    if (this.#announced === shown) return;
    this.#announced = shown;
    document.documentElement.dataset["link"] = shown;
    markAway(shown === "stale" ? "Not live" : shown === "paused" ? "Paused" : "");
    this.dispatchEvent(new LinkEvent(shown === "live"));
    if (shown === "refused") this.#leave();
  }

  /** The session ended: the sign-in page says so and leads back here. Once, for a second call would break
   * the first one off while it is on its way; and not in the way of an answer that is: a form with a new
   * password ends the session that its page came with, and brings the next. */
  #leave(): void {
    window.clearInterval(this.#timer);
    const wait = this.#leavingAt + LEAVING_MS - performance.now();
    if (wait > 0) {
      window.setTimeout(() => this.#leave(), wait);
      return;
    }
    window.location.assign(`/login/?next=${encodeURIComponent(window.location.pathname + window.location.search)}`);
  }

  /** The strip across the page while the picture is not live. Said once to screen readers, not each second. */
  #notice(shown: string, age: string): void {
    const notice = document.querySelector<HTMLElement>("[data-stale-notice]");
    if (notice === null) return;
    const away = shown === "stale";
    notice.hidden = !away;
    const span = notice.querySelector("[data-stale-age]");
    if (away && span !== null) span.textContent = age;
  }
}

customElements.define("pb-live", PbLive);
