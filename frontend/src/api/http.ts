/** One way to the REST API: JSON in and out, the CSRF token, and problems as values. */

export interface Problem {
  status: number;
  title: string;
  detail: string;
  errors: { loc: (string | number)[]; msg: string }[];
  /** The server asks to come again: it did nothing, or is still at it. */
  retry: boolean;
  /** The guard that forbids it, where one does. */
  guard?: string;
}

export type Answer<T> = { ok: true; value: T } | { ok: false; problem: Problem };

/** Keys of the POSTs of which this page does not know what became of them: the same one again, by a double click or
 * because no answer came, is then carried out once. */
const unanswered = new Map<string, string>();

function key(): string {
  // crypto.randomUUID is there over HTTPS alone.
  return [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

export async function call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
  if (method !== "POST") return send(method, path, body);
  const what = JSON.stringify([path, body]);
  const mine = unanswered.get(what) ?? key();
  unanswered.set(what, mine);
  const answer = await send<T>(method, path, body, { "Idempotency-Key": mine });
  const isRunning = !answer.ok && answer.problem.status === 409 && answer.problem.retry;
  const isKnown = answer.ok || (answer.problem.status >= 400 && answer.problem.status < 500 && !isRunning);
  if (isKnown && unanswered.get(what) === mine) unanswered.delete(what);
  return answer;
}

/** A POST that only asks and changes nothing. */
export function ask<T>(path: string, body: unknown): Promise<Answer<T>> {
  return send("POST", path, body);
}

async function send<T>(method: string, path: string, body?: unknown, more: Record<string, string> = {}): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: "application/json", ...more };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken();
  let response: Response;
  try {
    response = await fetch(`/api/v1/${path}`, {
      method,
      headers,
      credentials: "same-origin",
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
  } catch {
    return problem(0, "The server did not answer", "Nothing was changed, as far as this page knows. Try again in a moment.");
  }
  const text = await response.text();
  let value: unknown = null;
  try {
    value = text === "" ? null : JSON.parse(text);
  } catch {
    // Not JSON: an error page of something in between.
  }
  if (response.ok) return { ok: true, value: value as T };
  const said = (typeof value === "object" && value !== null ? value : {}) as Partial<Problem>;
  const retry = response.headers.has("Retry-After");
  return problem(response.status, said.title ?? `Refused (${response.status})`, said.detail ?? "", said.errors, retry, said.guard);
}

function problem(status: number, title: string, detail: string, errors: Problem["errors"] = [], retry = false, guard?: string): { ok: false; problem: Problem } {
  return { ok: false, problem: { status, title, detail, errors, retry, ...(guard === undefined ? {} : { guard }) } };
}

/** From the form that Django put into the page, so that the cookie may be HttpOnly. */
function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}
