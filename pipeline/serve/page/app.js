/** The images that are asked, which of them is shown, and the map over it. */

import { showAbout } from "./about.js";
import { nameOf, ranked, showAnswer, showStale } from "./answer.js";
import { offerCamera } from "./camera.js";
import { decode, draw, thumbnail, toMap } from "./picture.js";
import { about, ask, checkSize, look, server, toBase64 } from "./server.js";

const MOST = 200; // images that the page holds
const AT_ONCE = 3; // requests under way
const SMALL = 128; // px, of a thumbnail in the strip
const $ = (id) => document.getElementById(id);

let items = [];
let shown = null; // the item that is shown
let turn = 0; // of the map: a late one is dropped
let map = null; // canvas of the map that is shown
const waiting = [];
let working = 0;

async function watch() {
  try {
    const { model, version, problem, ready, candidate } = await look();
    $("model").firstElementChild.textContent = document.title = model;
    $("status-link").href = `v1/models/${encodeURIComponent(model)}`;
    $("state").className = problem || candidate || !ready ? "trouble" : "ready";
    say("state-text", problem || (ready ? candidate || `version ${version}` : "loading"));
    await showAbout(take);
  } catch (error) {
    $("state").className = "trouble";
    say("state-text", error.message);
  }
  showStale(shown);
  items.forEach(mark);
}

/** Changes a text only where it differs: a screen reader says what changes. */
function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

/** Takes files; the first of them is shown. `truth` is the class that an example has in the data. */
function take(files, truth) {
  const room = Math.max(0, MOST - items.length);
  const added = [...files].slice(0, room).map((file) => (
    { file, name: file.name || "pasted image", truth, state: "waiting", maps: new Map() }
  ));
  const left = files.length - added.length;
  items.push(...added);
  added.forEach(list);
  if (added.length) {
    select(added[0]);
    $("drop").scrollIntoView({ block: "nearest" }); // an example is chosen further down
  }
  waiting.push(...added);
  while (working < AT_ONCE && waiting.length) work();
  count(left ? ` ${left} more left out: the page holds ${MOST}; graft predict takes whole folders.` : "");
}

async function work() {
  working++;
  for (let item; (item = waiting.shift());) {
    await answer(item);
    mark(item);
    if (item === shown) show(item);
    count();
  }
  working--;
}

async function answer(item) {
  try {
    if (!server?.ready) await look();
    if (!server.ready) throw new Error("the model is still being loaded.");
    checkSize(item.file);
    const image = await toBase64(item.file);
    const started = performance.now();
    const found = await askNewest(image);
    item.maps.clear();
    Object.assign(item, found, { milliseconds: performance.now() - started, state: "done" });
    item.picture ??= thumbnail(await decode(item.file, item.known.upright), SMALL);
  } catch (error) {
    Object.assign(item, { state: "failed", error: error.message });
  }
}

/** Asks the version that answers; once more where another took over in between. */
async function askNewest(image) {
  for (const isLast of [false, true]) {
    const { version } = server;
    try {
      return { version, answer: await ask(version, "serving_default", image), known: await about(version) };
    } catch (error) {
      if (isLast || error.status !== 404) throw error;
      await look();
    }
  }
}

function list(item) {
  const [row, button, name, label] = ["li", "button", "span", "span"].map((tag) => document.createElement(tag));
  button.type = "button";
  [name.className, label.className, name.dir, label.dir] = ["name", "what", "auto", "auto"];
  name.textContent = item.name;
  button.append(name, label);
  button.addEventListener("click", () => select(item));
  button.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    const next = step && items[items.indexOf(item) + step];
    if (!next) return;
    event.preventDefault();
    next.button.focus();
    select(next);
  });
  row.append(button);
  item.button = button;
  $("items").append(row);
  mark(item);
}

function mark(item) {
  const { button, state } = item;
  const isOld = state === "done" && server?.ready && server.version !== item.version;
  if (item.picture && !button.querySelector("canvas")) button.prepend(item.picture);
  const words = { waiting: "asking ...", failed: "no answer" }[state] ?? (item.answer.known === false ? "unknown" : item.answer.label);
  const text = words + (isOld ? " (old version)" : "");
  if (button.lastChild.textContent !== text) button.lastChild.textContent = text;
  button.classList.toggle("failed", state === "failed");
  button.classList.toggle("old", Boolean(isOld));
  button.classList.toggle("unknown", state === "done" && item.answer.known === false);
  if (item === shown) button.setAttribute("aria-current", "true");
  else button.removeAttribute("aria-current");
}

function count(more = "") {
  $("strip").hidden = items.length < 2 && !more;
  const done = items.filter((item) => item.state === "done").length;
  const failed = items.filter((item) => item.state === "failed").length;
  say("strip-text", `${items.length} images, ${done} answered${failed ? `, ${failed} without an answer` : ""}.${more}`);
}

function select(item) {
  const before = shown;
  shown = item;
  if (before) mark(before);
  mark(item);
  item.button.scrollIntoView({ block: "nearest", inline: "nearest" });
  show(item);
}

function show(item) {
  showAnswer(item);
  const isDone = item.state === "done";
  $("evidence-switch").hidden = !isDone || !item.known.signatures.includes("explain");
  if (isDone) offerClasses(item);
  showPicture(item);
  if (isDone) showMap();
}

/** Draws the picture, which is decoded anew each time: full pictures of many files would fill the memory. */
async function showPicture(item) {
  if (item.state === "failed") {
    item.bitmap = undefined;
    $("canvas").hidden = true;
    $("invitation").hidden = false;
    $("drop").classList.remove("filled");
    return;
  }
  const bitmap = await decode(item.file, item.known?.upright ?? true);
  if (item !== shown || item.state === "failed") return;
  items.forEach((other) => { other.bitmap = undefined; });
  item.bitmap = bitmap;
  redraw();
}

function redraw() {
  const { bitmap, known, answer: found, name } = shown ?? {};
  if (bitmap === undefined) return;
  const isOn = $("evidence").checked && map;
  draw($("canvas"), bitmap, isOn ? map : null, $("opacity").value / 100, known?.crop);
  const evidence = isOn ? `, with the evidence for ${$("map-class").selectedOptions[0]?.text} as colour` : "";
  $("canvas").setAttribute("aria-label", `${name}${found ? `, labelled ${nameOf(shown)}` : ""}${evidence}`);
  $("canvas").hidden = false;
  $("invitation").hidden = true;
  $("drop").classList.add("filled");
}

/** Offers the classes whose map this version can give: all, or, of an older Graft, that of its answer. */
function offerClasses(item) {
  const rows = item.known.signatures.includes("explain_class") ? ranked(item) : ranked(item).slice(0, 1);
  const before = $("map-class").item === item ? $("map-class").value : null;
  $("map-class").item = item;
  $("map-class").replaceChildren(...rows.map(([index, name]) => new Option(name, index)));
  if (before !== null) $("map-class").value = before;
  if ($("map-class").selectedIndex < 0) $("map-class").selectedIndex = 0;
  $("map-class").disabled = rows.length < 2;
}

async function showMap() {
  const item = shown;
  const mine = ++turn;
  $("map").hidden = !$("evidence").checked || item?.state !== "done" || !item.known.signatures.includes("explain");
  map = null;
  if ($("map").hidden) return redraw();
  const index = Number($("map-class").value);
  const name = $("map-class").selectedOptions[0].text;
  try {
    if (!item.maps.has(index)) item.maps.set(index, toMap((await explain(item, index)).cam));
    if (mine !== turn) return;
    map = item.maps.get(index);
    say("legend-text", map
      ? `Bright: what in the image speaks for ${name}. The strongest place is always brightest, however weak it is.`
        + (item.known.signatures.includes("explain_class") ? "" : " This version gives the map of its answer alone.")
      : `No place of the image speaks for ${name}.`);
  } catch (error) {
    if (mine === turn) say("legend-text", `There is no map: ${error.message}`);
  }
  redraw();
}

async function explain(item, index) {
  const image = await toBase64(item.file);
  if (!item.known.signatures.includes("explain_class")) return ask(item.version, "explain", image);
  return ask(item.version, "explain_class", image, { class_index: index });
}

function clear() {
  items = [];
  waiting.length = 0;
  shown = map = null;
  $("items").replaceChildren();
  $("canvas").hidden = $("map").hidden = $("evidence-switch").hidden = $("strip").hidden = true;
  $("invitation").hidden = false;
  $("drop").classList.remove("filled");
  showAnswer(null);
  $("file").focus();
}

function askAgain() {
  const old = items.filter((item) => item.state === "done" && item.version !== server?.version);
  old.forEach((item) => { item.state = "waiting"; mark(item); });
  waiting.push(...old);
  showAnswer(shown);
  while (working < AT_ONCE && waiting.length) work();
}

function takeDropped(transfer) {
  if (transfer.files.length) return take(transfer.files);
  say("strip-text", "That was no file. Save the image first, then drop the file.");
  $("strip").hidden = false;
}

$("file").addEventListener("change", (event) => {
  take(event.target.files);
  event.target.value = ""; // the same file may be chosen again
});
$("choose").addEventListener("click", () => $("file").click());
$("opacity").addEventListener("input", (event) => {
  $("opacity-value").textContent = `${event.target.value} %`;
  redraw();
});
$("evidence").addEventListener("change", showMap);
$("map-class").addEventListener("change", showMap);
$("clear").addEventListener("click", clear);
$("again").addEventListener("click", askAgain);
document.addEventListener("paste", (event) => {
  const { files } = event.clipboardData;
  if (files.length) take(files);
});
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") takeDropped(event.dataTransfer);
  });
}
offerCamera(take);
watch();
setInterval(watch, 5000);
