/** What is known of the version that answers: facts, card, examples, and how to ask it from code. */

import { about, examplesOf, server } from "./server.js";

const $ = (id) => document.getElementById(id);
export const percent = (value) => `${(100 * value).toFixed(value > 0.9995 || value < 0.0005 ? 2 : 1)} %`;
let shown = null; // version

function facts(known) {
  const rows = [["Version", String(known.version)]];
  if (known.accuracy !== null) {
    const [low, high] = known.interval ?? [];
    const between = known.interval ? ` (${percent(low)} to ${percent(high)})` : "";
    const over = known.eval ? `, on ${known.eval.toLocaleString("en")} images that it did not learn from` : "";
    rows.push(["Accuracy", percent(known.accuracy) + between + over]);
  } else {
    rows.push(["Accuracy", "not recorded"]);
  }
  if (known.created) rows.push(["Made", new Date(known.created).toLocaleString("en-GB", { dateStyle: "long", timeStyle: "short" })]);
  if (known.train) rows.push(["Learned from", `${known.train.toLocaleString("en")} images`]);
  if (known.override) rows.push(["Note", "Pushed although a gate said no; its passport says who wanted it, and why."]);
  rows.push(["Classes", known.classes.length > 12
    ? `${known.classes.length.toLocaleString("en")}: ${known.classes.slice(0, 12).join(", ")}, ...` : known.classes.join(", ")]);
  return rows.flatMap(([name, value]) => {
    const [term, text] = [document.createElement("dt"), document.createElement("dd")];
    [term.textContent, text.textContent, text.dir] = [name, value, "auto"];
    return [term, text];
  });
}

function quote(text) {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

/** The two snippets, as they are run: the file's name is the only thing to change. */
export function snippets(origin, model) {
  const url = new URL(`v1/models/${encodeURIComponent(model)}:predict`, origin).href;
  return {
    curl: `IMAGE=photo.jpg
{ printf '{"instances": [{"image_bytes": {"b64": "'; base64 < "$IMAGE"; printf '"}}]}'; } |
  curl -sS -d @- ${quote(url)}`,
    python: `import base64, json, urllib.request

with open("photo.jpg", "rb") as file:
    image = base64.b64encode(file.read()).decode()
body = json.dumps({"instances": [{"image_bytes": {"b64": image}}]}).encode()
with urllib.request.urlopen(${JSON.stringify(url)}, body) as answer:
    prediction = json.load(answer)["predictions"][0]
print(prediction["label"] if prediction.get("known", True) else "none of these", prediction["probability"])`,
  };
}

function gallery(known, found, take) {
  $("gallery").hidden = false;
  $("gallery-note").textContent = found.problem || "Eval images, which the model did not learn from. Choose one to ask it.";
  const rows = new Map();
  found.labels.forEach((label, number) => {
    if (!rows.has(label)) rows.set(label, []);
    rows.get(label).push(number);
  });
  $("examples").replaceChildren(...[...rows].map(([label, numbers]) => {
    const [figure, name] = [document.createElement("figure"), document.createElement("figcaption")];
    [name.textContent, name.title, name.dir] = [label, label, "auto"];
    const pictures = numbers.map((number, index) => picture(known.version, label, number, index, take));
    figure.append(name, ...pictures);
    return figure;
  }));
}

function picture(version, label, number, index, take) {
  const [button, image] = [document.createElement("button"), document.createElement("img")];
  [button.type, image.loading, image.src] = ["button", "lazy", `page/examples/${version}/${number}/small`];
  image.alt = `Example ${index + 1} of ${label}`;
  button.append(image);
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const response = await fetch(`page/examples/${version}/${number}`);
      if (!response.ok) throw new Error((await response.json()).error);
      const content = await response.blob();
      take([new File([content], `example ${index + 1} of ${label}`, { type: content.type })], label);
    } catch (error) {
      $("gallery-note").textContent = `The example cannot be shown: ${error.message}`;
    } finally {
      button.disabled = false;
    }
  });
  return button;
}

/** Shows the version that answers now; `take` gets an example and its class. */
export async function showAbout(take) {
  if (!server?.ready || shown === server.version) return;
  const version = server.version;
  const known = await about(version);
  shown = version;
  $("about-facts").replaceChildren(...facts(known));
  $("card-open").hidden = !known.card;
  if (known.card) $("card-text").innerHTML = known.card; // made by the server, without scripts, styles and HTML of its own
  const texts = snippets(document.baseURI, server.model);
  for (const name of ["curl", "python"]) $(name).textContent = texts[name];
  $("gallery").hidden = !known.examples;
  if (known.examples) gallery(known, await examplesOf(version), take);
}

async function copy(button) {
  const text = $(button.dataset.copy);
  try {
    await navigator.clipboard.writeText(text.textContent);
  } catch { // not https, not localhost
    getSelection().selectAllChildren(text);
    document.execCommand("copy");
  }
  button.textContent = "Copied";
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

for (const button of document.querySelectorAll("[data-copy]")) button.addEventListener("click", () => copy(button));
$("card-open").addEventListener("click", () => $("card").showModal());
for (const button of document.querySelectorAll("[data-close]")) {
  button.addEventListener("click", () => button.closest("dialog").close());
}
