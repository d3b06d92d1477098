/** Taking many breakers by hand: choose, see what would be touched, and then that very set or nothing. */

import { GUARD, waits, type Carried } from "../api/breakers";
import type { Problem } from "../api/http";
import { act, look, type Many, type Reach, type Touched } from "../api/overrides";
import { now } from "../live/clock";
import { actWords, instancesWords, reachWords, standingWords } from "../model/many";
import { expiryOf, inHours, startOf, zoneOf } from "../model/span";
import { stateTitle } from "../model/summary";
import { clock, title } from "../model/words";

type Act = "forced_open" | "forced_closed" | "release";

const VERB: Record<Act, string> = { forced_open: "Force open", forced_closed: "Force closed", release: "Release" };
const CHOICE = ["environment", "service", "target", "state", "q"] as const;
const SHOWN_MOST = 200;

export class PbMany extends HTMLElement {
  #busy = false;
  /** What was looked at and may be done; any change of the form takes it back. */
  #seen: { many: Many; reach: Reach } | null = null;

  connectedCallback(): void {
    this.#form.addEventListener("input", () => {
      this.#forget();
      this.#say();
    });
    this.#form.addEventListener("submit", (event) => {
      event.preventDefault();
      void this.#look();
    });
    (this.querySelector("[data-do]") as HTMLButtonElement).onclick = () => void this.#do();
    this.#say();
  }

  get #form(): HTMLFormElement {
    return this.querySelector("form") as HTMLFormElement;
  }

  #part(name: string): HTMLElement {
    return this.querySelector(`[data-${name}]`) as HTMLElement;
  }

  #value(name: string): string {
    return String(new FormData(this.#form).get(name) ?? "").trim();
  }

  get #act(): Act {
    return this.#value("act") as Act;
  }

  #say(): void {
    const forces = this.#act !== "release";
    this.#part("start").hidden = !forces;
    this.#part("expiry").hidden = !forces;
    this.#moment("from", this.#value("start") === "later", 1);
    this.#moment("until", this.#value("for") === "until", this.#value("start") === "later" ? 2 : 1);
  }

  #moment(name: string, chosen: boolean, hours: number): void {
    const input = this.querySelector<HTMLInputElement>(`[name=${name}]`) as HTMLInputElement;
    if (input.hidden && chosen && input.value === "") input.value = inHours(hours, now());
    input.hidden = !chosen;
    const zone = this.querySelector(`[data-zone=${name}]`) as HTMLElement;
    zone.hidden = !chosen;
    if (chosen) zone.textContent = zoneOf(input.value, now());
  }

  /** What the form says, or null where it is not whole; the errors stand beside their fields then. */
  #many(): Many | null {
    this.#clear();
    const said = CHOICE.map((name) => [name, this.#value(name)] as const).filter(([, value]) => value !== "");
    const everything = this.#value("everything") !== "";
    if (said.length === 0 && !everything) this.#error("match", "Say which breakers, or tick that it is every one.");
    const reason = this.#value("reason");
    if (reason === "") this.#error("reason", "Say why: it stands in the audit log, and beside each breaker while it lasts.");
    const choice = { match: Object.fromEntries(said), everything };
    if (this.#act === "release") return this.#isWhole ? { choice, wish: null, reason } : null;
    const start = startOf(this.#value("start"), this.#value("from"), now());
    if (typeof start === "string") this.#error("starts", start);
    const expiry = expiryOf(this.#value("for"), this.#value("until"), typeof start === "string" ? {} : start, now());
    if (typeof expiry === "string") this.#error("expires", expiry);
    if (!this.#isWhole || typeof start === "string" || typeof expiry === "string") return null;
    return { choice, wish: { mode: this.#act, reason, ...start, ...expiry }, reason };
  }

  get #isWhole(): boolean {
    return this.querySelector('[aria-invalid="true"]') === null;
  }

  async #look(): Promise<void> {
    const many = this.#busy ? null : this.#many();
    if (many === null) {
      this.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
      return;
    }
    this.#busy = true;
    const answer = await look(many);
    this.#busy = false;
    if (!answer.ok) return this.#refused(answer.problem);
    this.#show(many, answer.value);
  }

  #show(many: Many, reach: Reach): void {
    this.#seen = { many, reach };
    this.#part("reach").hidden = false;
    this.#part("words").textContent = reachWords(reach.breakers, many.wish === null);
    const rows = reach.breakers.slice(0, SHOWN_MOST).map(row);
    (this.querySelector("tbody") as HTMLElement).replaceChildren(...rows);
    this.#part("table").hidden = rows.length === 0;
    const more = reach.breakers.length - rows.length;
    this.#part("more").textContent = more > 0 ? `and ${more} more` : "";
    const button = this.#part("do");
    button.hidden = rows.length === 0;
    button.textContent = actWords(VERB[this.#act], reach.breakers, many.wish?.starts_at !== undefined);
    this.#part("words").focus();
  }

  async #do(): Promise<void> {
    if (this.#busy || this.#seen === null) return;
    this.#busy = true;
    const { many, reach } = this.#seen;
    const answer = await act(many, reach.digest, this.#carried());
    this.#busy = false;
    if (answer.ok) {
      const what = actWords(VERB[this.#act], reach.breakers, many.wish?.starts_at !== undefined);
      const done = waits(answer.value) ? `${what}: waits for another person until ${clock(Date.parse(answer.value.expires_at), now())}. Nothing is done yet.` : `Done: ${what}.`;
      this.#form.reset();
      this.#forget();
      this.#say();
      this.#outcome(done);
      this.#part("outcome").focus();
      document.dispatchEvent(new Event("pb-refresh"));
      return;
    }
    if (this.#isLimited(answer.problem)) return;
    this.#refused(answer.problem);
    if (answer.problem.status === 412) {
      const fresh = await look(many);
      if (fresh.ok) this.#show(many, fresh.value);
    }
  }

  #carried(): Carried {
    const confirm = this.querySelector<HTMLInputElement>("[name=confirm]")?.value.trim() ?? "";
    const glass = this.querySelector<HTMLInputElement>("[name=glass]")?.checked ?? false;
    return { ...(confirm === "" ? {} : { confirm }), ...(glass ? { break_glass: GUARD } : {}) };
  }

  /** Whether a limit of the environment stands in the way, and then shows what gets past it. */
  #isLimited(problem: Problem): boolean {
    const unconfirmed = problem.errors.find(({ loc }) => loc.includes("confirm"));
    if (unconfirmed !== undefined) {
      this.#part("confirming").hidden = false;
      this.#error("confirm", unconfirmed.msg);
      this.querySelector<HTMLElement>("[name=confirm]")?.focus();
    } else if (problem.guard === GUARD) {
      this.#part("glass").hidden = false;
      this.#part("guard-words").textContent = problem.detail;
      this.querySelector<HTMLElement>("[name=glass]")?.focus();
    }
    return unconfirmed !== undefined || problem.guard === GUARD;
  }

  #refused(problem: Problem): void {
    const places = ["match", "reason", "starts", "expires"] as const;
    let placed = false;
    for (const { loc, msg } of problem.errors) {
      const said = loc.map(String);
      const place = places.find((one) => said.some((name) => name.startsWith(one)));
      if (place === undefined) continue;
      this.#error(place, msg);
      placed = true;
    }
    if (placed) {
      this.#forget();
      this.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
    } else this.#outcome([problem.title, problem.detail].filter(Boolean).join(". "), true);
  }

  #forget(): void {
    this.#seen = null;
    this.#part("reach").hidden = true;
    this.#part("confirming").hidden = true;
    this.#part("glass").hidden = true;
    for (const field of this.querySelectorAll<HTMLInputElement>("[name=confirm], [name=glass]")) {
      field.value = "";
      field.checked = false;
    }
    this.#outcome("");
  }

  #error(place: "match" | "reason" | "starts" | "expires" | "confirm", message: string): void {
    (this.querySelector(`[data-error="${place}"]`) as HTMLElement).textContent = message;
    const field = { match: "service", reason: "reason", starts: "from", expires: "until", confirm: "confirm" }[place];
    this.querySelector(`[name=${field}]`)?.setAttribute("aria-invalid", "true");
  }

  #outcome(message: string, bad = false): void {
    const place = this.#part("outcome");
    place.textContent = message;
    place.classList.toggle("bad", bad);
  }

  #clear(): void {
    for (const place of this.querySelectorAll("[data-error]")) place.textContent = "";
    for (const field of this.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
    this.#outcome("");
  }
}

function row(one: Touched): HTMLTableRowElement {
  const link = document.createElement("a");
  link.className = "name";
  link.href = `/breakers/${encodeURIComponent(one.id)}/`;
  link.textContent = title(one);
  const where = document.createElement("div");
  where.className = "small";
  where.textContent = `${one.environment} · ${one.breaker}`;
  const made = document.createElement("tr");
  made.append(
    cell("", link, where),
    cell("State", toned(stateTitle(one.state), one.state)),
    cell("Instances", instancesWords(one)),
    cell("Override", one.override === null ? standingWords(one) : toned(standingWords(one), one.override.mode)),
  );
  return made;
}

function cell(label: string, ...content: (Node | string)[]): HTMLTableCellElement {
  const made = document.createElement("td");
  if (label !== "") made.dataset["label"] = label;
  made.append(...content);
  return made;
}

function toned(text: string, tone: string): HTMLElement {
  const made = document.createElement("span");
  made.dataset["tone"] = tone;
  made.textContent = text;
  return made;
}

customElements.define("pb-many", PbMany);
