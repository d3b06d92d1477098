/** A form that is one call of the REST API: <pb-act data-method="POST" data-path="rules"><form>…. Fields
 * become JSON by their name (`params.for` nests) and `data-as` (number, flag, list, lines); problems stand
 * beside the field that they are about; a DELETE has a body where `data-body` says so. `data-then` is where one goes on to; `data-secret` names what of the
 * answer is shown once. */

import { call, type Problem } from "../api/http";
import { placeOf } from "../model/places";

/** A secret that the server tells this once. */
export class SecretEvent extends Event {
  constructor(
    readonly of: string,
    readonly secret: string,
  ) {
    super("pb-secret", { bubbles: true });
  }
}

type Json = { [name: string]: unknown };

export class PbAct extends HTMLElement {
  #busy = false;

  connectedCallback(): void {
    this.addEventListener("submit", this.#submitted);
  }

  disconnectedCallback(): void {
    this.removeEventListener("submit", this.#submitted);
  }

  #submitted = (event: Event): void => {
    event.preventDefault();
    if (!this.#busy) void this.#submit(event.target as HTMLFormElement);
  };

  async #submit(form: HTMLFormElement): Promise<void> {
    this.#busy = true;
    this.#clear();
    const method = this.dataset["method"] ?? "POST";
    const says = method !== "DELETE" || this.dataset["body"] !== undefined;
    const answer = await call<Json | null>(method, this.dataset["path"] ?? "", says ? body(form) : undefined);
    this.#busy = false;
    if (!answer.ok) {
      this.#refused(answer.problem);
      return;
    }
    if (this.dataset["then"] !== undefined) {
      window.location.assign(this.dataset["then"]);
      return;
    }
    form.reset();
    this.#succeeded(answer.value ?? {});
    document.dispatchEvent(new Event("pb-refresh"));
  }

  #succeeded(value: Json): void {
    const secret = value[this.dataset["secret"] ?? ""];
    if (typeof secret === "string") {
      this.#outcome("Made. Its secret stands at the top of the page.");
      this.dispatchEvent(new SecretEvent(String(value["name"] ?? ""), secret));
    } else if (this.dataset["show"] !== undefined) {
      const ok = value["ok"] !== false;
      this.#outcome(`${ok ? "✓" : "✗"} ${String(value[this.dataset["show"]] ?? "")}`, !ok);
    } else this.#outcome("Done.");
  }

  #refused(problem: Problem): void {
    if (!placeErrors(this, problem)) this.#outcome([problem.title, problem.detail].filter(Boolean).join(". "), true);
  }

  #outcome(text: string, bad = false): void {
    const place = this.querySelector<HTMLElement>("[data-outcome]");
    if (place === null) return;
    // Inside of the place, whose own attributes a refresh sets anew.
    const said = document.createElement("span");
    said.textContent = text;
    said.classList.toggle("bad", bad);
    place.replaceChildren(said);
  }

  #clear(): void {
    for (const place of this.querySelectorAll("[data-outcome]")) place.textContent = "";
    clearErrors(this);
  }
}

/** Puts each error beside the field that it is about; false where none of them has a place in the form. */
export function placeErrors(form: HTMLElement, problem: Problem): boolean {
  const places = [...form.querySelectorAll<HTMLElement>("[data-error]")];
  const names = places.map((place) => place.dataset["error"] ?? "");
  let placed = false;
  for (const { loc, msg } of problem.errors) {
    const name = placeOf(loc, names);
    const place = places[names.indexOf(name ?? "")];
    if (name === undefined || place === undefined) continue;
    place.textContent = place.textContent ? `${place.textContent}; ${msg}` : msg;
    place.closest("details")?.setAttribute("open", "");
    form.querySelector(`[name="${name}"]`)?.setAttribute("aria-invalid", "true");
    placed = true;
  }
  if (placed) form.querySelector<HTMLElement>('[aria-invalid="true"]')?.focus();
  return placed;
}

export function clearErrors(form: HTMLElement): void {
  for (const place of form.querySelectorAll("[data-error]")) place.textContent = "";
  for (const field of form.querySelectorAll("[aria-invalid]")) field.removeAttribute("aria-invalid");
}

/** What a form says, as JSON. Empty fields that need not be filled are left out, and so are numbers: the server says
 * that they are required. */
export function body(form: HTMLFormElement): Json {
  const said: Json = {};
  for (const field of form.elements) {
    if (!(field instanceof HTMLInputElement || field instanceof HTMLTextAreaElement || field instanceof HTMLSelectElement)) continue;
    const how = field.dataset["as"] ?? "text";
    const ticked = !(field instanceof HTMLInputElement) || !["checkbox", "radio"].includes(field.type) || field.checked;
    if (field.name === "") continue;
    if (how === "list" && field instanceof HTMLInputElement && field.type === "checkbox") {
      const list = (read(said, field.name) ?? []) as string[];
      put(said, field.name, ticked ? [...list, field.value] : list);
    } else if (how === "flag" && field instanceof HTMLInputElement && field.type === "checkbox") put(said, field.name, field.checked);
    else if (how === "flag") put(said, field.name, ["true", "yes", "on", "1"].includes(field.value.toLowerCase()));
    else if (how === "lines") put(said, field.name, field.value.split("\n").map((line) => line.trim()).filter(Boolean));
    else if (how === "list") put(said, field.name, field.value.split(",").map((item) => item.trim()).filter(Boolean));
    else if (ticked && (field.value !== "" || (field.required && how !== "number"))) put(said, field.name, how === "number" ? Number(field.value) : field.value);
  }
  return said;
}

function read(said: Json, name: string): unknown {
  return name.split(".").reduce<unknown>((at, step) => (at as Json | undefined)?.[step], said);
}

function put(said: Json, name: string, value: unknown): void {
  const steps = name.split(".");
  const last = steps.pop() as string;
  let at = said;
  for (const step of steps) at = (at[step] ??= {}) as Json;
  at[last] = value;
}

customElements.define("pb-act", PbAct);
