/** What the page asks the server, and errors of it in words. */

const AWAY = "The server does not answer. Is graft serve still running?";
export let server = null; // what /healthz says; null while it does not answer
const known = new Map(); // version: its facts

async function read(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch {
    throw new Error(AWAY);
  }
  let answer;
  try {
    answer = await response.json();
  } catch {
    throw new Error(`The server answered with ${response.status} and no JSON: is something else running there?`);
  }
  if (!response.ok && !("ready" in answer)) {
    const words = String(answer.error ?? response.status).replace(/^Failed to process element.*?INVALID_ARGUMENT: /, "");
    throw Object.assign(new Error(words), { status: response.status });
  }
  return answer;
}

/** Looks which version answers. */
export async function look() {
  try {
    server = await read("healthz");
  } catch (error) {
    server = null;
    throw error;
  }
  return server;
}

/** Gives the facts of a version: accuracy, card, classes, signatures. */
export async function about(version) {
  if (!known.has(version)) known.set(version, await read(`page/about/${version}`));
  return known.get(version);
}

export const examplesOf = (version) => read(`page/examples/${version}`);

/** Asks one version for one image. `more` is further inputs of the signature. */
export async function ask(version, signature, image, more = {}) {
  const body = JSON.stringify({ signature_name: signature, instances: [{ image_bytes: { b64: image }, ...more }] });
  const url = `v1/models/${encodeURIComponent(server.model)}/versions/${version}:predict`;
  return (await read(url, { method: "POST", body })).predictions[0];
}

export const correct = (correction) => read("page/corrections", { method: "POST", body: JSON.stringify(correction) });

/** Refuses a file that the server would refuse for its size; base64 takes a third more. */
export function checkSize(file) {
  const limit = server.limits.request_bytes;
  if (file.size * 1.34 > limit) {
    throw new Error(`The file is larger than ${Math.floor(limit / 1.34 / 2 ** 20)} MB, which this server takes.`);
  }
}

export function toBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error("The file cannot be read; a folder is none."));
    reader.readAsDataURL(file);
  });
}
