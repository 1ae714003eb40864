// Calls of the server, and small helpers that both pages share. Texts of the shop are only ever set as text.

const asked = new URLSearchParams(location.search);
export const token = asked.get("token") ?? "";
export const givenName = asked.get("name") ?? "";

export const $ = (id) => document.getElementById(id);

export const address = (path, name) => `${path}?${new URLSearchParams(name ? { token, name } : { token })}`;

export async function call(path, body) {
  const headers = { "X-Review-Token": token };
  if (body) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(path, { method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Failed("The server does not answer, and nothing was changed. Is it still running? Try again when it is.");
  }
  const answer = await response.json().catch(() => ({}));
  if (response.ok) return answer;
  const why = typeof answer.detail === "string" ? answer.detail : `The server answered ${response.status}: see its terminal.`;
  throw new Failed(why, response.status);
}

export class Failed extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

export function el(name, text, className) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  if (className) made.className = className;
  return made;
}

export const number = (value) => value.toLocaleString("en-GB");
export const percent = (share) => `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
