// The slider of thresholds reads the same numbers as the table beneath it; without this script there is the table.
{
  const form = document.getElementById("slider");
  if (form) {
    const [answered, right] = JSON.parse(document.getElementById("slider-data").textContent);
    const input = document.getElementById("threshold"), said = document.getElementById("slider-said");
    const percent = (part, whole) => `${((100 * part) / whole).toFixed(1)} %`;
    const show = () => {
      const step = Number(input.value), of = answered[step];
      const from = percent(step, answered.length - 1);
      input.setAttribute("aria-valuetext", from);
      said.textContent = of
        ? `${from}: ${percent(of, answered[0])} of images are answered (${of}), ${percent(right[step], of)} of those are right (${of - right[step]} wrong)`
        : `${from}: no image is answered`;
    };
    form.addEventListener("submit", (event) => event.preventDefault());
    input.addEventListener("input", show);
    form.hidden = false;
    show();
  }
}
