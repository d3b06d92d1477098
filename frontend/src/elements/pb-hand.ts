/** "Take it by hand": says what will happen before it is done, and the button repeats it. */

import { command, GUARD, override, waits, type Carried, type Scoped } from "../api/breakers";
import type { Problem } from "../api/http";
import { now } from "../live/clock";
import { outcome, type Reported, type Wish } from "../model/outcome";
import { missing, missingWords, onWhich, toChoose, within, type Only } from "../model/scope";
import { expiryOf, inHours, startOf, zoneOf, type Expiry, type Start } from "../model/span";
import { clock, perSecond } from "../model/words";

type Field = "reason" | "starts" | "expires" | "confirm" | "instances";
type Act = "forced_open" | "forced_closed" | "trip" | "reset";

const VERB: Record<Act, string> = { forced_open: "Force open", forced_closed: "Force closed", trip: "Trip", reset: "Reset" };
const INPUT: Record<Field, string> = { reason: "[name=reason]", starts: "[name=from]", expires: "[name=until]", confirm: "[name=confirm]", instances: "[name=scope]:checked" };
const STANDING: ReadonlySet<Act> = new Set(["forced_open", "forced_closed"]);

export class PbHand extends HTMLElement {
  static observedAttributes = ["data-instances", "data-calls", "data-deaf", "data-mode", "data-planned", "data-confirm", "data-guard", "data-another"];
  #busy = false;
  /** What was wished here and is still spoken of. */
  #wish: Wish | null = null;
  /** On which instances that was. */
  #wishOn: Only = null;

  connectedCallback(): void {
    this.addEventListener("input", () => this.#say());
    document.addEventListener("pb-refreshed", this.#follow);
    document.addEventListener("pb-refreshed", this.#offer);
    this.#offer();
    this.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#submit();
    });
    this.#say();
  }

  disconnectedCallback(): void {
    document.removeEventListener("pb-refreshed", this.#follow);
    document.removeEventListener("pb-refreshed", this.#offer);
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

  get #only(): Only {
    if (this.#value("scope") !== "only") return null;
    return new FormData(this.#form).getAll("instances").map(String);
  }

  get #where(): string {
    return onWhich(this.#only, this.#live);
  }

  /** How many live ones it is for, and how many of those never hear of it. */
  get #live(): number {
    return this.#only === null ? Number(this.dataset["instances"] ?? "0") : within(this.#only, reported()).length;
  }

  get #deaf(): number {
    return this.#only === null ? Number(this.dataset["deaf"] ?? "0") : within(this.#only, reported()).filter(({ deaf }) => deaf).length;
  }

  /** The instances to choose from, as the page's table has them by now. */
  #offer = (): void => {
    const chosen = new FormData(this.#form).getAll("instances").map(String);
    const names = toChoose(reported().map(({ instance }) => instance), chosen);
    const place = this.#find("[data-choice]");
    const shown = [...place.querySelectorAll("input")].map(({ value }) => value);
    if (names.join("\n") === shown.join("\n")) return;
    const held = document.activeElement instanceof HTMLInputElement && place.contains(document.activeElement) ? document.activeElement.value : null;
    place.replaceChildren(...names.map((name) => tick(name, chosen.includes(name))));
    if (held !== null) [...place.querySelectorAll("input")].find(({ value }) => value === held)?.focus();
  };

  #find<T extends HTMLElement>(selector: string): T {
    return this.querySelector<T>(selector) as T;
  }

  #say(): void {
    const act = this.#act;
    const standing = STANDING.has(act);
    this.#find("[data-confirming]").hidden = this.dataset["confirm"] === undefined;
    // What forces nothing is not the guard's to forbid.
    this.#find("[data-glass]").hidden = !standing || this.dataset["guard"] === undefined;
    this.#find("[data-guard-words]").textContent = this.dataset["guard"] ?? "";
    (this.querySelector("[data-expiry]") as HTMLElement).hidden = !standing;
    (this.querySelector("[data-start]") as HTMLElement).hidden = !standing;
    this.#moment("from", "starts", this.#value("start") === "later", 1);
    this.#moment("until", "expires", this.#value("for") === "until", this.#isLater ? 2 : 1);
    const only = this.#only;
    this.#find("[data-choice]").hidden = only === null;
    if (only === null || only.length > 0) this.#excuse("instances");
    this.#find("[data-all-words]").textContent = standing ? "all, and those to come" : "all";
    this.#find("[data-scope-words]").textContent = only === null ? "all instances" : `${this.#where} only`;
    const another = this.dataset["another"] === undefined ? "" : ` Takes effect once another person has approved it: ${this.dataset["another"]}`;
    this.#find("[data-consequence]").textContent = this.#consequence(act) + another;
    const where = this.#allDeaf ? " although nobody obeys" : ` on ${this.#where}`;
    const what = this.#isLater ? `Plan: ${VERB[act].toLowerCase()}${where}` : `${VERB[act]}${where}`;
    this.#find("[type=submit]").textContent = another === "" ? what : `Ask: ${what[0]?.toLowerCase()}${what.slice(1)}`;
  }

  /** Shows the field of a moment where it is asked for, with a first suggestion. */
  #moment(name: string, field: Field, chosen: boolean, hours: number): void {
    const input = this.querySelector<HTMLInputElement>(`[name=${name}]`) as HTMLInputElement;
    if (input.hidden && chosen && input.value === "") input.value = inHours(hours, now());
    input.hidden = !chosen;
    const zone = this.querySelector(`[data-zone=${name}]`) as HTMLElement;
    zone.hidden = !chosen;
    if (chosen) zone.textContent = zoneOf(input.value, now());
    if (!chosen) this.#excuse(field);
  }

  get #isLater(): boolean {
    return STANDING.has(this.#act) && this.#value("start") === "later";
  }

  get #allDeaf(): boolean {
    return this.#live > 0 && this.#deaf === this.#live;
  }

  #consequence(act: Act): string {
    const target = this.dataset["target"] || "what it guards";
    const calls = Number(this.dataset["calls"] || "NaN");
    // The figure is of all instances together.
    const about = Number.isNaN(calls) || calls === 0 || this.#only !== null ? "all calls" : `about ${perSecond(calls)} ${perSecond(calls) === "1" ? "call" : "calls"}/s`;
    const deaf = this.#deaf;
    const toCome = this.#only === null ? " and those to come" : " alone";
    const who = deaf === 1 ? "One of them does not hear of it: it is" : `${deaf} of them do not hear of it: they are`;
    const unheard = deaf === 0 ? "" : ` ${who} known by events alone.`;
    const replaces = this.dataset["mode"] ? " Replaces the override that stands." : "";
    const waits = this.dataset["planned"] !== undefined && !this.#isLater ? " What is planned waits until this one ends." : "";
    const plans = this.dataset["planned"] !== undefined && this.#isLater ? " Replaces what is planned." : "";
    // One may have left since it was chosen.
    const unknown = missingWords(missing(this.#only, known()));
    const after = unheard + unknown + replaces + waits + plans;
    if (this.#allDeaf) {
      const live = `Nobody obeys: ${this.#live === 1 ? "the one instance is" : "all instances are"} known by events alone.`;
      const stands = this.#only === null ? " It stands for those to come." : "";
      return STANDING.has(act) ? `${live}${stands}${unknown}${replaces}${waits}${plans}` : `${live} Nothing happens.`;
    }
    switch (act) {
      case "forced_open":
        return `Refuses ${about} to ${target}, in ${this.#where}${toCome}.${after}`;
      case "forced_closed":
        return `Lets ${about} to ${target} through even if they fail, in ${this.#where}${toCome}.${after}`;
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
    const start = this.#start();
    const expiry = STANDING.has(act) ? this.#expiry(start ?? {}) : null;
    const { confirm: name } = this.dataset;
    const confirmed = name === undefined || this.#value("confirm") === name;
    if (!confirmed) this.#error("confirm", `Type “${name}”, where this acts.`);
    const only = this.#only;
    const chosen = only === null || only.length > 0;
    if (!chosen) this.#error("instances", "Choose at least one, or all.");
    if (reason === "" || !confirmed || !chosen || (STANDING.has(act) && expiry === null) || start === null) {
      this.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
      return;
    }
    const scoped: Scoped = only === null ? {} : { instances: only };
    this.#busy = true;
    const id = this.dataset["breakerId"] ?? "";
    const answer =
      act === "trip" || act === "reset"
        ? await command(id, act, reason, { ...this.#carried(), ...scoped })
        : await override(id, { mode: act, reason, ...start, ...(expiry as Expiry), ...this.#carried(), ...scoped });
    this.#busy = false;
    if (!answer.ok) {
      this.#refused(answer.problem);
      return;
    }
    this.#form.reset();
    this.#say();
    if (waits(answer.value)) {
      this.#outcome(`${VERB[act]}: waits for another person until ${clock(Date.parse(answer.value.expires_at), now())}. Nothing is done yet.`);
      document.dispatchEvent(new Event("pb-refresh"));
      return;
    }
    if (start.starts_at !== undefined) {
      this.#outcome("Planned. It stands above until it begins, and can be cancelled there.");
      document.dispatchEvent(new Event("pb-refresh"));
      return;
    }
    this.#wish = { verb: VERB[act], revision: answer.value.revision, standing: STANDING.has(act) };
    this.#wishOn = only;
    this.#follow();
    document.dispatchEvent(new Event("pb-refresh"));
  }

  #carried(): Carried {
    const glass = this.#find<HTMLInputElement>("[name=glass]");
    return {
      ...(this.dataset["confirm"] === undefined ? {} : { confirm: this.#value("confirm") }),
      ...(glass.checked && !this.#find("[data-glass]").hidden ? { break_glass: GUARD } : {}),
    };
  }

  /** The page has been refreshed: says what the instances have made of the wish by now. */
  #follow = (): void => {
    if (this.#wish === null) return;
    const { revision, override } = this.dataset;
    const told = outcome(this.#wish, { revision: Number(revision), override: override ? Number(override) : null, instances: within(this.#wishOn, reported()), missing: missing(this.#wishOn, known()) });
    if (told === null) this.#wish = null;
    this.#outcome(told?.text ?? "", told?.bad);
  };

  #start(): Start | null {
    if (!this.#isLater) return {};
    const start = startOf("later", this.#value("from"), now());
    if (typeof start !== "string") return start;
    this.#error("starts", start);
    return null;
  }

  #expiry(start: Start): Expiry | null {
    const expiry = expiryOf(this.#value("for"), this.#value("until"), start, now());
    if (typeof expiry !== "string") return expiry;
    this.#error("expires", expiry);
    return null;
  }

  #refused(problem: Problem): void {
    let placed = false;
    // Somebody was faster, or the limits are new: then this page did not know of it.
    if (problem.guard === GUARD) this.dataset["guard"] = problem.detail;
    if (problem.errors.some(({ loc }) => loc.includes("confirm"))) this.dataset["confirm"] ??= this.dataset["within"] ?? "";
    for (const { loc, msg } of problem.errors) {
      const place = loc.map(String);
      const field = place.includes("reason") ? "reason" : place.includes("instances") ? "instances" : place.includes("starts_at") ? "starts" : place.includes("confirm") ? "confirm" : place.some((name) => name.startsWith("expires") || name === "no_expiry") ? "expires" : null;
      if (field === null) continue;
      this.#error(field, msg);
      placed = true;
    }
    if (!placed) this.#outcome([problem.title, problem.detail].filter(Boolean).join(". "), true);
    this.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  }

  #error(field: Field, message: string): void {
    if (field === "instances") this.#find<HTMLDetailsElement>("[data-scope]").open = true;
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
    this.#excuse("starts");
    this.#excuse("expires");
    this.#excuse("confirm");
    this.#excuse("instances");
    this.#wish = null;
    this.#outcome("");
  }
}

function tick(name: string, checked: boolean): HTMLLabelElement {
  const input = document.createElement("input");
  Object.assign(input, { type: "checkbox", name: "instances", value: name, checked });
  const said = document.createElement("span");
  said.className = "mono";
  said.textContent = name;
  const label = document.createElement("label");
  label.className = "tick";
  label.append(input, said);
  return label;
}

/** The names of all instances, lost ones too. */
function known(): string[] {
  return [...document.querySelectorAll<HTMLElement>("tr[data-instance]")].map(({ dataset }) => dataset["instance"] ?? "");
}

/** What the live instances say, from the page's own table. */
function reported(): Reported[] {
  return [...document.querySelectorAll<HTMLElement>("tr[data-instance]:not([data-lost])")].map(({ dataset }) => ({
    instance: dataset["instance"] ?? "",
    applied: Number(dataset["applied"]),
    refused: dataset["refused"] ? Number(dataset["refused"]) : null,
    error: dataset["error"] ?? "",
    deaf: dataset["deaf"] !== undefined,
  }));
}

customElements.define("pb-hand", PbHand);
