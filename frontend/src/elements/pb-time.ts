/** A moment in words that stay true: <pb-time at="2026-11-09T14:05:32Z" as="lasting|ago|left|clock|probe">.
 * The exact time is in the tooltip and for screen readers; all of them share one timer. */

import { everySecond, now } from "../live/clock";
import { ago, clock, lasting, left, probeDue } from "../model/words";

export type As = "lasting" | "ago" | "left" | "clock" | "probe";

const EXACT = new Intl.DateTimeFormat("en-GB", {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  timeZoneName: "short",
});

export class PbTime extends HTMLElement {
  static observedAttributes = ["at", "as"];
  #stop: (() => void) | null = null;
  #time: HTMLTimeElement | null = null;

  connectedCallback(): void {
    this.#stop = everySecond((at) => this.#say(at));
    this.#say(now());
  }

  disconnectedCallback(): void {
    this.#stop?.();
    this.#stop = null;
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.#say(now());
  }

  #say(at: number): void {
    const iso = this.getAttribute("at") ?? "";
    const moment = Date.parse(iso);
    if (Number.isNaN(moment)) return;
    if (this.#time === null || this.#time.parentNode !== this) {
      this.#time = this.querySelector("time") ?? document.createElement("time");
      if (this.#time.parentNode !== this) this.replaceChildren(this.#time);
    }
    const time = this.#time;
    if (time.dateTime !== iso) {
      time.dateTime = iso;
      time.title = EXACT.format(moment);
    } else if (time.title === "" || time.title.endsWith("UTC")) {
      time.title = EXACT.format(moment);
    }
    const words = inWords((this.getAttribute("as") ?? "ago") as As, moment, at);
    if (time.textContent !== words) time.textContent = words;
  }
}

function inWords(as: As, moment: number, at: number): string {
  const seconds = (at - moment) / 1_000;
  if (as === "lasting") return lasting(seconds);
  if (as === "left") return left(-seconds);
  if (as === "clock") return clock(moment, at);
  if (as === "probe") return probeDue(seconds, clock(moment, at));
  return ago(seconds);
}

customElements.define("pb-time", PbTime);
