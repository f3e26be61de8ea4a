/** Pixels: an image as the model sees it, and activation maps over it. */

const SIDE = 1024; // px, the longest of the canvas; small images are drawn larger, up to half of it
const STOPS = [[0, 0, 4], [87, 16, 110], [188, 55, 84], [249, 142, 9], [252, 255, 164]]; // as in the overlays of predict

/** The pixels as the model sees them: turned by their orientation tag, or, by a model that leaves that out, as stored. */
export async function decode(file, upright) {
  try {
    const bytes = new DataView(await file.arrayBuffer());
    if (!upright) ignoreOrientation(bytes);
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

/** A small canvas of a picture, its sides within `size`; null for what the browser cannot show. */
export function thumbnail(picture, size) {
  if (!picture) return null;
  const canvas = document.createElement("canvas");
  const scale = size / Math.max(picture.width, picture.height);
  canvas.width = Math.max(1, Math.round(picture.width * scale));
  canvas.height = Math.max(1, Math.round(picture.height * scale));
  fill(canvas, picture);
  return canvas;
}

function fill(canvas, picture) {
  const context = canvas.getContext("2d");
  context.fillStyle = picture ? "#fff" : "#888"; // white shows through transparent pixels
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingQuality = "high";
  if (picture) context.drawImage(picture, 0, 0, canvas.width, canvas.height);
  return context;
}

/** A canvas of a map's size, coloured; null where no place has evidence. */
export function toMap(rows) {
  if (!rows.flat().some((value) => value > 0)) return null;
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
function seen(width, height, crop) {
  if (!crop) return [0, 0, width, height];
  const [down, across] = crop;
  const seenWidth = Math.max(1, Math.min(width, Math.floor((height * across) / down)));
  const seenHeight = Math.max(1, Math.min(height, Math.floor((width * down) / across)));
  return [Math.floor((width - seenWidth) / 2), Math.floor((height - seenHeight) / 2), seenWidth, seenHeight];
}

/** Draws a picture, grey where the browser cannot show it, and a map over the part that the model sees. */
export function draw(canvas, picture, map, opacity, crop) {
  const [width, height] = picture ? [picture.width, picture.height] : seen(640, 480, crop).slice(2);
  const scale = Math.min(SIDE, Math.max(width, height, SIDE / 2)) / Math.max(width, height);
  canvas.width = Math.max(1, Math.round(width * scale));
  canvas.height = Math.max(1, Math.round(height * scale));
  const context = fill(canvas, picture);
  if (!map) return;
  context.globalAlpha = opacity;
  const [x, y] = [canvas.width / width, canvas.height / height];
  const [left, top, seenWidth, seenHeight] = seen(width, height, crop);
  context.drawImage(map, left * x, top * y, seenWidth * x, seenHeight * y);
}
