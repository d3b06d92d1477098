/** <pb-matching for="ID">: says below a field of matchers how many breakers they choose now, as one types. Asks
 * nothing before it comes into sight: a page may hold a form for each of many rules. */

import { matching } from "../api/rules";
import { matchingWords } from "../model/matching";

const SETTLED_MS = 300;

export class PbMatching extends HTMLElement {
  #field: HTMLTextAreaElement | null = null;
  #timer: number | undefined;
  /** Answers may overtake each other: only that to the last question counts. */
  #asked = 0;
  #seen = new IntersectionObserver((entries) => {
    if (!entries.some((entry) => entry.isIntersecting)) return;
    this.#seen.disconnect();
    void this.#ask();
  });

  connectedCallback(): void {
    this.#field = document.querySelector(`textarea#${CSS.escape(this.getAttribute("for") ?? "")}`);
    this.#field?.addEventListener("input", this.#typed);
    this.#field?.form?.addEventListener("reset", this.#typed);
    this.#seen.observe(this.#field ?? this);
  }

  disconnectedCallback(): void {
    this.#seen.disconnect();
    window.clearTimeout(this.#timer);
    this.#field?.removeEventListener("input", this.#typed);
    this.#field?.form?.removeEventListener("reset", this.#typed);
  }

  #typed = (): void => {
    window.clearTimeout(this.#timer);
    this.#timer = window.setTimeout(() => void this.#ask(), SETTLED_MS);
  };

  async #ask(): Promise<void> {
    if (this.#field === null) return;
    const lines = this.#field.value.split("\n").map((line) => line.trim()).filter(Boolean);
    const asked = ++this.#asked;
    const answer = await matching(lines);
    if (asked !== this.#asked) return;
    const { words, warns } = matchingWords(answer);
    this.textContent = words;
    if (warns) this.dataset["tone"] = "half_open";
    else delete this.dataset["tone"];
  }
}

customElements.define("pb-matching", PbMatching);
