/** The answer for one image: label, probabilities, what is stale, and a person's correction. */

import { percent } from "./about.js";
import { checkSize, correct, server, toBase64 } from "./server.js";

const SHOWN = 5; // classes before "all"
const NEW = "\n"; // value of the choice of a new class; no class's name
const $ = (id) => document.getElementById(id);

/** Classes with their probability, most probable first: [index, name, probability]. */
export function ranked(item) {
  const rows = item.answer.probabilities.map((value, index) => [index, item.known.classes[index] ?? `class ${index}`, value]);
  return rows.sort((a, b) => b[2] - a[2]);
}

/** What an item is called: its label, or that it is none of the classes; versions of an older Graft know all. */
export function nameOf(item) {
  return item.answer.known === false ? "None of these" : item.answer.label;
}

/** Shows an item's answer, its error, or that it is still asked. */
export function showAnswer(item) {
  $("empty").hidden = Boolean(item);
  $("error").hidden = item?.state !== "failed";
  $("result").hidden = item?.state !== "done";
  $("answer").setAttribute("aria-busy", String(item?.state === "waiting"));
  showStale(item);
  if (item?.state === "failed") $("error").textContent = `${item.name} got no answer: ${item.error}`;
  if (item?.state === "done") write(item);
}

/** Marks an answer of a version that no longer answers. */
export function showStale(item) {
  const isOld = item?.state === "done" && server?.ready && server.version !== item.version;
  $("stale").hidden = !isOld;
  const words = isOld ? `This answer is of version ${item.version}; version ${server.version} answers now.` : "";
  if ($("stale-text").textContent !== words) $("stale-text").textContent = words;
}

function write(item) {
  const { answer, file } = item;
  const isUnknown = answer.known === false;
  $("label").textContent = nameOf(item);
  $("label").parentElement.classList.toggle("unknown", isUnknown);
  $("unknown").hidden = $("nearest").hidden = !isUnknown;
  $("unknown-text").textContent = isUnknown ? `It looks unlike the images of every class: ${typical(answer.outlier)}.` : "";
  $("nearest-label").textContent = answer.label;
  $("probability").textContent = `probability ${percent(answer.probability)}`;
  $("truth").hidden = item.truth === undefined;
  $("truth").className = item.truth === answer.label ? "right" : "miss";
  $("truth").textContent = item.truth === answer.label ? "as in the data" : `in the data: ${item.truth}`;
  const rows = ranked(item);
  list(rows, SHOWN);
  $("more").hidden = rows.length <= SHOWN;
  $("more").textContent = `All ${rows.length.toLocaleString("en")} classes`;
  $("more").onclick = () => { list(rows, rows.length); $("more").hidden = true; };
  $("facts").textContent = `${item.name}, ${Math.ceil(file.size / 1024).toLocaleString("en")} kB, version ${item.version}, `
    + `answered in ${Math.round(item.milliseconds)} ms` + (answer.known ? `; ${typical(answer.outlier)}` : "") + (item.picture ? "" : "; this browser cannot show the format");
  offerCorrection(item, rows);
}

function typical(outlier) {
  return `${percent(outlier)} of good images look less typical`;
}

function list(rows, count) {
  $("classes").replaceChildren(...rows.slice(0, count).map(([, name, value]) => {
    const [row, text, number, bar] = ["li", "span", "span", "meter"].map((tag) => document.createElement(tag));
    text.textContent = text.title = name;
    text.dir = "auto";
    number.textContent = percent(value);
    number.className = "value";
    bar.value = value;
    bar.setAttribute("aria-label", name);
    row.append(text, number, bar);
    return row;
  }));
}

function offerCorrection(item, rows) {
  $("wrong").hidden = !item.known.collects;
  if ($("wrong").item === item) return; // what is being chosen stays
  $("wrong").item = item;
  $("wrong").open = Boolean(item.saved);
  $("new-class").value = "";
  const choices = rows.slice(1).map(([, name]) => [name, name]);
  choices.push([item.answer.label, `${item.answer.label} (it is right)`], [NEW, "another class ..."]);
  $("right").replaceChildren(new Option("choose ...", ""), ...choices.map(([value, text]) => new Option(text, value)));
  $("saved").textContent = item.saved ?? "The image and this label are kept on the server as data for the next run.";
  chooseRight();
}

function chooseRight() {
  const isNew = $("right").value === NEW;
  $("new-class").hidden = $("new-label").hidden = !isNew;
  $("new-class").required = isNew;
}

async function save(event) {
  event.preventDefault();
  const item = $("wrong").item;
  const label = $("right").value === NEW ? $("new-class").value : $("right").value;
  $("save").disabled = true;
  try {
    checkSize(item.file);
    const image = await toBase64(item.file);
    const found = await correct({ image, label, predicted: item.answer.label, version: item.version });
    const kept = `${found.images.toLocaleString("en")} ${found.images === 1 ? "image is" : "images are"} kept for the next run.`;
    const before = found.replaced && found.replaced !== found.label ? ` in the place of ${found.replaced}` : "";
    item.saved = `Saved as ${found.is_new ? "the new class " : ""}${found.label}${before}. ${kept}`;
  } catch (error) {
    item.saved = `Not saved: ${error.message}`;
  } finally {
    $("save").disabled = false;
  }
  if ($("wrong").item === item) $("saved").textContent = item.saved;
}

$("right").addEventListener("change", () => {
  chooseRight();
  if ($("right").value === NEW) $("new-class").focus();
});
$("correction").addEventListener("submit", save);
