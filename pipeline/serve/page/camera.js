/** A picture from the camera, as a file. */

const $ = (id) => document.getElementById(id);
const WHY = {
  NotAllowedError: "The camera was not allowed. Allow it in the browser's settings of this page.",
  NotFoundError: "No camera is connected.",
  NotReadableError: "The camera is in use by another program.",
  OverconstrainedError: "No camera fits.",
};
let stream = null;

async function start() {
  $("camera-error").hidden = true;
  $("snap").disabled = true;
  $("camera-dialog").showModal();
  try {
    if (!navigator.mediaDevices?.getUserMedia) {
      throw new Error(window.isSecureContext
        ? "This browser gives pages no camera."
        : `Browsers give the camera only to pages of https or of this machine (localhost), and this one is ${location.origin}.`);
    }
    const found = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
    if (!$("camera-dialog").open) return found.getTracks().forEach((track) => track.stop());
    stream = found;
    $("video").srcObject = stream;
    await $("video").play();
    $("snap").disabled = false;
    $("snap").focus();
  } catch (error) {
    if (!$("camera-dialog").open) return;
    $("camera-error").textContent = WHY[error.name] ?? error.message;
    $("camera-error").hidden = false;
  }
  $("video").hidden = $("snap").disabled;
}

function stop() {
  stream?.getTracks().forEach((track) => track.stop());
  stream = $("video").srcObject = null;
}

function snap(take) {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [$("video").videoWidth, $("video").videoHeight];
  canvas.getContext("2d").drawImage($("video"), 0, 0);
  canvas.toBlob((blob) => {
    const time = new Date().toTimeString().slice(0, 8).replaceAll(":", "");
    take([new File([blob], `camera-${time}.jpg`, { type: "image/jpeg" })]);
    $("camera-dialog").close();
  }, "image/jpeg", 0.95);
}

/** Makes the button work; `take` gets a list of one file. */
export function offerCamera(take) {
  $("camera").addEventListener("click", start);
  $("snap").addEventListener("click", () => snap(take));
  $("camera-dialog").addEventListener("close", stop);
}
