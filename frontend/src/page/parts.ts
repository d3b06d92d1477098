/** Says when a part of the panel itself is away: alerts that stand still would look like a quiet night. */

const EVERY_MS = 5_000;
const MEANS: Readonly<Record<string, string>> = {
  worker: "No worker answers: alerts, messages and policies wait until one is back, and what policies hold ends at its time. Boards and people’s overrides go on.",
  beat: "Nothing gives the time (beat): rules that go by it, and messages that are to be tried again, wait until it is back. What happens is judged and told.",
  redis: "Redis does not answer: alerts and policies wait, and changes may show up to a second later.",
  postgresql: "PostgreSQL does not answer: nothing can be stored or changed.",
};

/** One sentence for each part that is missing. */
export function meaning(missing: readonly string[]): string {
  // Without Redis nobody can tell whether worker and beat live; without a worker, the time is of no use.
  const hidden = missing.includes("redis") ? ["worker", "beat"] : missing.includes("worker") ? ["beat"] : [];
  const told = missing.filter((part) => !hidden.includes(part));
  return told.map((part) => MEANS[part] ?? `${part} does not answer.`).join(" ");
}

async function missingParts(): Promise<readonly string[]> {
  const answer = await fetch("/readyz", { cache: "no-store", signal: AbortSignal.timeout(EVERY_MS) });
  const told = (await answer.json()) as { missing?: unknown };
  return Array.isArray(told.missing) ? told.missing.filter((part): part is string => typeof part === "string") : [];
}

/** Looks every few seconds while the page is seen; a server that is gone is the live link's to tell. */
export function watchParts(notice: HTMLElement): void {
  const text = notice.querySelector("[data-parts-text]");
  const look = async (): Promise<void> => {
    if (document.visibilityState === "visible") {
      try {
        const missing = await missingParts();
        if (text !== null && missing.length > 0) text.textContent = meaning(missing);
        notice.hidden = missing.length === 0;
      } catch {
        notice.hidden = true;
      }
    }
    setTimeout(() => void look(), EVERY_MS);
  };
  void look();
}
