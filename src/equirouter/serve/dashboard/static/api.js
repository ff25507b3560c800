// Asks the gateway, with the admin key where one is needed. The key is kept for this tab only.

const PLACE = "equirouter-admin-key";

export class Refused extends Error {}

function headers() {
  const key = sessionStorage.getItem(PLACE);
  return key ? { Authorization: `Bearer ${key}` } : {};
}

export const hasKey = () => sessionStorage.getItem(PLACE) !== null;
export const keepKey = (key) => sessionStorage.setItem(PLACE, key);
export const forgetKey = () => sessionStorage.removeItem(PLACE);

async function ask(path, options) {
  const answer = await fetch(path, { headers: headers(), cache: "no-store", ...options });
  if (answer.status === 401 || answer.status === 403) throw new Refused();
  return answer;
}

export const get = (path) => told(path);

export const post = (path, body) => told(path, { method: "POST", body: JSON.stringify(body),
  headers: { ...headers(), "Content-Type": "application/json" } });

async function told(path, options) {
  const answer = await ask(path, options);
  const document = await answer.json();
  if (!answer.ok) {
    const error = new Error(document.error?.message || `status ${answer.status}`);
    error.status = answer.status;
    throw error;
  }
  return document;
}

// Server-sent events over fetch, since EventSource cannot send a key. Ends when the gateway stops.
export async function listen(path, onEvent, signal) {
  const answer = await ask(path, { signal });
  if (!answer.ok) throw new Error(`status ${answer.status}`);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const lines = block.split("\n");
      const name = lines.find((line) => line.startsWith("event: "))?.slice(7);
      const data = lines.find((line) => line.startsWith("data: "))?.slice(6);
      if (name) onEvent(name, JSON.parse(data || "{}"));
    }
  }
}
