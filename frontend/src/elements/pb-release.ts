/** Releasing an override, or (data-planned) cancelling the planned one: one button, then the reason that the audit log asks for. */

import { release } from "../api/breakers";

export class PbRelease extends HTMLElement {
  #busy = false;

  connectedCallback(): void {
    const form = this.querySelector("form") as HTMLFormElement;
    const open = this.querySelector("[data-open]") as HTMLButtonElement;
    open.onclick = () => {
      open.hidden = true;
      form.hidden = false;
      form.querySelector("input")?.focus();
    };
    form.onkeydown = (event) => {
      if (event.key !== "Escape") return;
      form.hidden = true;
      open.hidden = false;
      open.focus();
    };
    form.onsubmit = (event) => {
      event.preventDefault();
      if (!this.#busy) void this.#release(form);
    };
  }

  async #release(form: HTMLFormElement): Promise<void> {
    const input = form.querySelector("input") as HTMLInputElement;
    const error = form.querySelector(".error") as HTMLElement;
    const reason = input.value.trim();
    error.textContent = reason === "" ? "Say why: it stands in the audit log." : "";
    input.toggleAttribute("aria-invalid", false);
    if (reason === "") {
      input.setAttribute("aria-invalid", "true");
      input.focus();
      return;
    }
    this.#busy = true;
    const answer = await release(this.dataset["breakerId"] ?? "", reason, this.dataset["planned"] !== undefined);
    this.#busy = false;
    if (answer.ok) {
      form.reset();
      form.hidden = true;
      (this.querySelector("[data-open]") as HTMLElement).hidden = false;
      // The card goes with its override; the sentence at the head tells what the breaker is now.
      (document.getElementById("breaker-says") ?? document.getElementById("main"))?.focus();
      document.dispatchEvent(new Event("pb-refresh"));
    } else error.textContent = [answer.problem.title, answer.problem.detail].filter(Boolean).join(". ");
  }
}

customElements.define("pb-release", PbRelease);
