/** <pb-preview> inside a rule's form: what the rule, as the form says it now, would have fired on. */

import { preview, type WouldBe } from "../api/rules";
import { now } from "../live/clock";
import { lastedWords, previewWords } from "../model/preview";
import { body, clearErrors, placeErrors } from "./pb-act";

const LISTED_MOST = 20;

export class PbPreview extends HTMLElement {
  #busy = false;

  connectedCallback(): void {
    const button = this.querySelector("button");
    if (button !== null) button.onclick = () => void this.#ask();
  }

  async #ask(): Promise<void> {
    const form = this.closest("form");
    const span = this.querySelector("select");
    if (this.#busy || form === null || span === null) return;
    this.#busy = true;
    this.#say("Replaying history…");
    clearErrors(form);
    const answer = await preview(body(form), new Date(now() - Number(span.value) * 3_600_000));
    this.#busy = false;
    if (!answer.ok) {
      const { title, detail } = answer.problem;
      const placed = placeErrors(form, answer.problem);
      this.#say(placed ? "Not tried: see what is said beside the fields." : [title, detail].filter(Boolean).join(". "), true);
      return;
    }
    this.#say(previewWords(answer.value, span.selectedOptions[0]?.text ?? ""));
    this.#list(answer.value.incidents, answer.value.total);
  }

  #say(text: string, bad = false): void {
    const said = this.querySelector<HTMLElement>("[data-says]");
    if (said !== null) {
      said.textContent = text;
      said.classList.toggle("bad", bad);
    }
    this.#list([], 0);
  }

  #list(incidents: readonly WouldBe[], total: number): void {
    const items = incidents.slice(0, LISTED_MOST).map((one) => {
      const item = document.createElement("li");
      const then = document.createElement("a");
      then.href = `/?at=${encodeURIComponent(one.started_at)}`;
      then.textContent = `${one.started_at.slice(0, 10)} ${one.started_at.slice(11, 19)} UTC`;
      then.className = "mono";
      const how = document.createElement("span");
      how.className = "small";
      how.textContent = lastedWords(one);
      item.append(then, ` ${one.summary} `, how);
      return item;
    });
    if (total > items.length) {
      const rest = document.createElement("li");
      rest.textContent = `and ${(total - items.length).toLocaleString("en-GB")} before these`;
      items.push(rest);
    }
    this.querySelector("[data-list]")?.replaceChildren(...items);
  }
}

customElements.define("pb-preview", PbPreview);
