/** One way to the REST API: JSON in and out, the CSRF token, and problems as values. */

export interface Problem {
  status: number;
  title: string;
  detail: string;
  errors: { loc: (string | number)[]; msg: string }[];
}

export type Answer<T> = { ok: true; value: T } | { ok: false; problem: Problem };

export async function call<T>(method: string, path: string, body?: unknown): Promise<Answer<T>> {
  const headers: Record<string, string> = { Accept: "application/json" };
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
  return problem(response.status, said.title ?? `Refused (${response.status})`, said.detail ?? "", said.errors);
}

function problem(status: number, title: string, detail: string, errors: Problem["errors"] = []): { ok: false; problem: Problem } {
  return { ok: false, problem: { status, title, detail, errors } };
}

/** From the form that Django put into the page, so that the cookie may be HttpOnly. */
function csrfToken(): string {
  return document.querySelector<HTMLMetaElement>('meta[name="csrf-token"]')?.content ?? "";
}
