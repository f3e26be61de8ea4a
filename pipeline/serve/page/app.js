"use strict";

const SHOWN = 5; // classes before "all"
const SIDE = 1024; // px, the longest of the canvas; small images are drawn larger, up to half of it
const STOPS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]; // as in the overlays of predict
const $ = (id) => document.getElementById(id);

let server = null; // what /healthz says
let turn = 0; // of the image that is shown: a late answer to an earlier one is dropped
let picture = null; // ImageBitmap, or null where the browser cannot show the format
let map = null; // canvas of the activation map

async function look() {
  try {
    server = await (await fetch("healthz")).json();
    const { model, version, problem, ready, candidate } = server;
    $("model").textContent = document.title = model;
    $("status-link").href = `v1/models/${encodeURIComponent(model)}`;
    $("state").className = problem || candidate || !ready ? "trouble" : "ready";
    $("state-text").textContent = problem || (ready ? candidate || `version ${version}` : "loading");
  } catch {
    $("state").className = "trouble";
    $("state-text").textContent = "the server does not answer";
  }
}

async function ask(signature, image) {
  const body = JSON.stringify({ signature_name: signature, instances: [{ image_bytes: { b64: image } }] });
  const response = await fetch(`v1/models/${encodeURIComponent(server.model)}:predict`, { method: "POST", body });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.error);
  return answer.predictions[0];
}

function toBase64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });
}

async function show(file) {
  if (!file) return;
  const mine = ++turn;
  $("answer").setAttribute("aria-busy", "true");
  try {
    if (!server) await look();
    if (!server) throw new Error("The server does not answer.");
    const limit = server.limits.request_bytes;
    if (file.size * 1.34 > limit) throw new Error(`The file is larger than ${Math.floor(limit / 1.34 / 2 ** 20)} MB, which this server takes.`);
    const started = performance.now();
    const [image, bitmap] = await Promise.all([toBase64(file), decode(file)]);
    const [answer, explained] = await Promise.all([
      ask("serving_default", image),
      server.explains ? ask("explain", image) : null,
    ]);
    if (mine !== turn) return;
    picture = bitmap;
    map = explained ? toMap(explained.cam) : null;
    draw(file.name, answer.label);
    write(file, answer, performance.now() - started);
  } catch (error) {
    if (mine === turn) fail(file, error.message.replace(/^Failed to process element.*INVALID_ARGUMENT: /, ""));
  } finally {
    if (mine === turn) $("answer").setAttribute("aria-busy", "false");
  }
}

/** The pixels as the model sees them: turned by their orientation tag, or, by a model that leaves that out, as stored. */
async function decode(file) {
  try {
    const bytes = new DataView(await file.arrayBuffer());
    if (!server.upright) ignoreOrientation(bytes);
    return await createImageBitmap(new Blob([bytes], { type: file.type }));
  } catch {
    return null; // HEIC, TIFF: the server converts them, the browser cannot show them
  }
}

/** Sets a JPEG's orientation tag (EXIF 2.3, 0x0112) to 1 in place; browsers have no reliable way to leave it out. */
function ignoreOrientation(bytes) {
  if (bytes.byteLength < 4 || bytes.getUint16(0) !== 0xffd8) return;
  for (let at = 2; at + 18 < bytes.byteLength && bytes.getUint8(at) === 0xff; at += 2 + bytes.getUint16(at + 2)) {
    if (bytes.getUint16(at) !== 0xffe1 || bytes.getUint32(at + 4) !== 0x45786966) continue; // no "Exif"
    const start = at + 10;
    const little = bytes.getUint16(start) === 0x4949;
    const tags = start + bytes.getUint32(start + 4, little);
    for (let index = 0; index < bytes.getUint16(tags, little); index++) {
      const tag = tags + 2 + 12 * index;
      if (bytes.getUint16(tag, little) === 0x0112) bytes.setUint16(tag + 8, 1, little);
    }
    return;
  }
}

function toMap(rows) {
  const canvas = document.createElement("canvas");
  [canvas.height, canvas.width] = [rows.length, rows[0].length];
  const pixels = new ImageData(canvas.width, canvas.height);
  rows.flat().forEach((value, index) => {
    const place = Math.min(Math.max(value, 0), 1) * (STOPS.length - 1);
    const low = Math.min(Math.floor(place), STOPS.length - 2);
    const colour = STOPS[low].map((from, channel) => from + (STOPS[low + 1][channel] - from) * (place - low));
    pixels.data.set([...colour, 255 * value], 4 * index);
  });
  canvas.getContext("2d").putImageData(pixels, 0, 0);
  return canvas;
}

/** The part of an image that the model sees: the middle window of its own aspect ratio where it crops, else all. */
function seen(width, height) {
  if (!server.crop) return [0, 0, width, height];
  const [down, across] = server.crop;
  const seenWidth = Math.max(1, Math.min(width, Math.floor((height * across) / down)));
  const seenHeight = Math.max(1, Math.min(height, Math.floor((width * down) / across)));
  return [Math.floor((width - seenWidth) / 2), Math.floor((height - seenHeight) / 2), seenWidth, seenHeight];
}

function draw(name, label) {
  const canvas = $("canvas");
  const [width, height] = picture ? [picture.width, picture.height] : seen(640, 480).slice(2);
  const scale = Math.min(SIDE, Math.max(width, height, SIDE / 2)) / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = canvas.getContext("2d");
  if (picture) {
    context.fillStyle = "#fff"; // shows through transparent pixels
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  } else {
    context.fillStyle = "#888";
    context.fillRect(0, 0, canvas.width, canvas.height);
  }
  if (map) {
    context.globalAlpha = $("opacity").value / 100;
    context.imageSmoothingEnabled = true;
    context.imageSmoothingQuality = "high";
    const [x, y] = [canvas.width / width, canvas.height / height];
    const [left, top, seenWidth, seenHeight] = seen(width, height);
    context.drawImage(map, left * x, top * y, seenWidth * x, seenHeight * y);
  }
  canvas.setAttribute("aria-label", `${name}, labelled ${label}${map ? ", with the evidence as colour" : ""}`);
  canvas.hidden = false;
  $("invitation").hidden = true;
  $("drop").classList.add("filled");
  $("controls").hidden = $("note").hidden = !map;
}

function percent(value) {
  return `${(100 * value).toFixed(value > 0.9995 || value < 0.0005 ? 2 : 1)} %`;
}

function write(file, answer, milliseconds) {
  $("empty").hidden = $("error").hidden = true;
  $("result").hidden = false;
  $("label").textContent = answer.label;
  $("probability").textContent = `probability ${percent(answer.probability)}`;
  const ranked = answer.probabilities.map((value, index) => [server.classes[index] ?? `class ${index}`, value]);
  ranked.sort((a, b) => b[1] - a[1]);
  list(ranked, SHOWN);
  $("more").hidden = ranked.length <= SHOWN;
  $("more").textContent = `All ${ranked.length} classes`;
  $("more").onclick = () => { list(ranked, ranked.length); $("more").hidden = true; };
  $("facts").textContent = `${file.name || "pasted image"}, ${Math.ceil(file.size / 1024).toLocaleString("en")} kB, `
    + `answered in ${Math.round(milliseconds)} ms` + (picture ? "" : "; this browser cannot show the format");
}

function list(ranked, count) {
  $("classes").replaceChildren(...ranked.slice(0, count).map(([name, value]) => {
    const [row, text, number, bar] = ["li", "span", "span", "meter"].map((tag) => document.createElement(tag));
    text.textContent = text.title = name;
    number.textContent = percent(value);
    number.className = "value";
    bar.value = value;
    bar.setAttribute("aria-label", name);
    row.append(text, number, bar);
    return row;
  }));
}

function fail(file, message) {
  $("empty").hidden = $("result").hidden = true;
  $("error").hidden = false;
  $("error").textContent = `${file.name || "The image"} got no answer: ${message}`;
  picture = map = null;
  $("canvas").hidden = $("controls").hidden = $("note").hidden = true;
  $("invitation").hidden = false;
  $("drop").classList.remove("filled");
}

$("file").addEventListener("change", (event) => {
  show(event.target.files[0]);
  event.target.value = ""; // the same file may be chosen again
});
$("opacity").addEventListener("input", (event) => {
  $("opacity-value").textContent = `${event.target.value} %`;
  draw($("canvas").getAttribute("aria-label").split(", labelled ")[0], $("label").textContent);
});
document.addEventListener("paste", (event) => show([...event.clipboardData.files][0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") show(event.dataTransfer.files[0]);
  });
}
look();
setInterval(look, 5000);
