/** Releasing an override: one button, then the reason that the audit log asks for. */

import { release } from "../api/breakers";

export class PbRelease extends HTMLElement {
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
      void this.#release(form);
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
    const answer = await release(this.dataset["breakerId"] ?? "", reason);
    if (answer.ok) {
      form.reset();
      form.hidden = true;
      (this.querySelector("[data-open]") as HTMLElement).hidden = false;
      // The card goes with its override; the sentence at the head tells what the breaker is now.
      document.getElementById("breaker-says")?.focus();
      document.dispatchEvent(new Event("pb-refresh"));
    } else error.textContent = [answer.problem.title, answer.problem.detail].filter(Boolean).join(". ");
  }
}

customElements.define("pb-release", PbRelease);
