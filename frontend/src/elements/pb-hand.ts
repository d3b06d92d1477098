/** "Take it by hand": says what will happen before it is done, and the button repeats it. */

import { command, override, type Expiry } from "../api/breakers";
import type { Problem } from "../api/http";
import { now } from "../live/clock";
import { outcome, type Reported, type Wish } from "../model/outcome";
import { counted, perSecond } from "../model/words";

type Field = "reason" | "expires";
type Act = "forced_open" | "forced_closed" | "trip" | "reset";

const VERB: Record<Act, string> = { forced_open: "Force open", forced_closed: "Force closed", trip: "Trip", reset: "Reset" };
const INPUT: Record<Field, string> = { reason: "[name=reason]", expires: "[name=until]" };
const STANDING: ReadonlySet<Act> = new Set(["forced_open", "forced_closed"]);

export class PbHand extends HTMLElement {
  static observedAttributes = ["data-instances", "data-calls", "data-deaf", "data-mode"];
  #busy = false;
  /** What was wished here and is still spoken of. */
  #wish: Wish | null = null;

  connectedCallback(): void {
    this.addEventListener("input", () => this.#say());
    document.addEventListener("pb-refreshed", this.#follow);
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#say();
  }

  disconnectedCallback(): void {
    document.removeEventListener("pb-refreshed", this.#follow);
  }

  attributeChangedCallback(): void {
    if (this.isConnected) this.#say();
  }

  get #form(): HTMLFormElement {
    return this.querySelector("form") as HTMLFormElement;
  }

  #value(name: string): string {
    return String(new FormData(this.#form).get(name) ?? "").trim();
  }

  get #act(): Act {
    return this.#value("act") as Act;
  }

  get #where(): string {
    return counted(Number(this.dataset["instances"] ?? "0"), "instance");
  }

  #say(): void {
    const act = this.#act;
    const standing = STANDING.has(act);
    (this.querySelector("[data-expiry]") as HTMLElement).hidden = !standing;
    const until = this.querySelector<HTMLInputElement>("[name=until]") as HTMLInputElement;
    const chosen = this.#value("for") === "until";
    if (until.hidden && chosen && until.value === "") until.value = inAnHour();
    until.hidden = !chosen;
    if (!chosen) this.#excuse("expires");
    (this.querySelector("[data-consequence]") as HTMLElement).textContent = this.#consequence(act);
    const button = this.querySelector("[type=submit]") as HTMLButtonElement;
    button.textContent = `${VERB[act]} on ${this.#where}`;
  }

  #consequence(act: Act): string {
    const target = this.dataset["target"] || "what it guards";
    const calls = Number(this.dataset["calls"] || "NaN");
    const about = Number.isNaN(calls) || calls === 0 ? "all calls" : `about ${perSecond(calls)} calls/s`;
    const deaf = Number(this.dataset["deaf"] ?? "0");
    const all = deaf === Number(this.dataset["instances"] ?? "0");
    const who = all ? "None of them hears of it: they are" : deaf === 1 ? "One of them does not hear of it: it is" : `${deaf} of them do not hear of it: they are`;
    const unheard = deaf === 0 ? "" : ` ${who} known by events alone.`;
    const after = unheard + (this.dataset["mode"] ? " Replaces the override that stands." : "");
    switch (act) {
      case "forced_open":
        return `Refuses ${about} to ${target}, in ${this.#where} and those to come.${after}`;
      case "forced_closed":
        return `Lets ${about} to ${target} through even if they fail, in ${this.#where} and those to come.${after}`;
      case "trip":
        return `Opens now, once; each instance then recovers as its own settings say. Not applied after 60 s.${unheard}`;
      case "reset":
        return `Closes now and clears the counters, once. It opens again if ${target} still fails. Not applied after 60 s.${unheard}`;
    }
  }

  async #submit(): Promise<void> {
    if (this.#busy) return;
    this.#clear();
    const act = this.#act;
    const reason = this.#value("reason");
    if (reason === "") this.#error("reason", "Say why: it stands in the audit log, and beside the breaker while it lasts.");
    const expiry = STANDING.has(act) ? this.#expiry() : null;
    if (reason === "" || (STANDING.has(act) && expiry === null)) {
      this.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
      return;
    }
    this.#busy = true;
    const id = this.dataset["breakerId"] ?? "";
    const answer =
      act === "trip" || act === "reset"
        ? await command(id, act, reason)
        : await override(id, { mode: act, reason, ...(expiry as Expiry) });
    this.#busy = false;
    if (!answer.ok) {
      this.#refused(answer.problem);
      return;
    }
    this.#form.reset();
    this.#say();
    this.#wish = { verb: VERB[act], revision: answer.value.revision, standing: STANDING.has(act) };
    this.#follow();
    document.dispatchEvent(new Event("pb-refresh"));
  }

  /** The page has been refreshed: says what the instances have made of the wish by now. */
  #follow = (): void => {
    if (this.#wish === null) return;
    const { revision, override } = this.dataset;
    const told = outcome(this.#wish, { revision: Number(revision), override: override ? Number(override) : null, instances: reported() });
    if (told === null) this.#wish = null;
    this.#outcome(told?.text ?? "", told?.bad);
  };

  #expiry(): Expiry | null {
    const chosen = this.#value("for");
    if (chosen === "never") return { no_expiry: true };
    if (chosen !== "until") return { expires_in: Number(chosen) };
    const moment = new Date(this.#value("until"));
    if (Number.isNaN(moment.getTime())) this.#error("expires", "Choose the day and time at which it ends.");
    else if (moment.getTime() <= now()) this.#error("expires", "That time is past: choose one ahead.");
    else return { expires_at: moment.toISOString() };
    return null;
  }

  #refused(problem: Problem): void {
    let placed = false;
    for (const { loc, msg } of problem.errors) {
      const place = loc.map(String);
      const field = place.includes("reason") ? "reason" : place.some((name) => name.startsWith("expires") || name === "no_expiry") ? "expires" : null;
      if (field === null) continue;
      this.#error(field, msg);
      placed = true;
    }
    if (!placed) this.#outcome([problem.title, problem.detail].filter(Boolean).join(". "), true);
    this.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }

  #error(field: Field, message: string): void {
    (this.querySelector(`[data-error="${field}"]`) as HTMLElement).textContent = message;
    this.querySelector(INPUT[field])?.setAttribute("aria-invalid", "true");
  }

  #excuse(field: Field): void {
    (this.querySelector(`[data-error="${field}"]`) as HTMLElement).textContent = "";
    this.querySelector(INPUT[field])?.removeAttribute("aria-invalid");
  }

  #outcome(message: string, bad = false): void {
    const place = this.querySelector<HTMLElement>("[data-outcome]") as HTMLElement;
    if (place.textContent !== message) place.textContent = message;
    place.classList.toggle("bad", bad);
  }

  #clear(): void {
    this.#excuse("reason");
    this.#excuse("expires");
    this.#wish = null;
    this.#outcome("");
  }
}

/** The next full minute an hour from now, as a field for local time wants it. */
function inAnHour(): string {
  const at = new Date(now() + 3_600_000 + 59_999);
  return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}

/** What the live instances say, from the page's own table. */
function reported(): Reported[] {
  return [...document.querySelectorAll<HTMLElement>("tr[data-instance]:not([data-lost])")].map(({ dataset }) => ({
    instance: dataset["instance"] ?? "",
    applied: Number(dataset["applied"]),
    refused: dataset["refused"] ? Number(dataset["refused"]) : null,
    error: dataset["error"] ?? "",
  }));
}

customElements.define("pb-hand", PbHand);
