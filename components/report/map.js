// The map: the nearest dot's picture on hover, tap and keyboard. Without this script each dot has its words as a title.
{
  const room = document.getElementById("map-room");
  if (room) {
    const svg = document.getElementById("map-dots"), card = document.getElementById("map-card");
    const pictures = JSON.parse(document.getElementById("map-data").textContent);
    const dots = [...svg.querySelectorAll("use")].map((element, index) => ({
      element, index, x: Number(element.getAttribute("x")), y: Number(element.getAttribute("y")),
      words: element.querySelector("title").textContent.split("\n"),
    }));
    for (const dot of dots) dot.element.querySelector("title").remove(); // the card says it, with the picture
    const here = document.createElementNS("http://www.w3.org/2000/svg", "circle");
    here.setAttribute("class", "here");
    here.setAttribute("r", "10");
    let shown = null;

    const show = (dot) => {
      if (!dot || dot === shown) return;
      shown = dot;
      here.setAttribute("cx", dot.x);
      here.setAttribute("cy", dot.y);
      svg.append(here);
      const words = document.createElement("div");
      for (const line of dot.words) words.append(Object.assign(document.createElement("span"), { textContent: line }));
      const url = pictures[dot.index];
      const picture = url
        ? Object.assign(document.createElement("img"), { src: url, alt: "" })
        : Object.assign(document.createElement("span"), { className: "note", textContent: "no picture" });
      card.replaceChildren(picture, words);
    };
    const lit = () => dots.filter((dot) => !room.classList.contains("chosen") || dot.element.classList.contains("lit"));
    const nearest = (x, y, fits) => {
      let best = null, least = Infinity;
      for (const dot of lit()) {
        const distance = (dot.x - x) ** 2 + (dot.y - y) ** 2;
        if (distance < least && fits(dot)) [best, least] = [dot, distance];
      }
      return [best, least];
    };
    const point = (event) => {
      const box = svg.getBoundingClientRect(), scale = svg.viewBox.baseVal.width / box.width;
      const [dot, distance] = nearest((event.clientX - box.left) * scale, (event.clientY - box.top) * scale, () => true);
      if (distance < (16 * scale) ** 2) show(dot);
    };
    svg.addEventListener("pointermove", point);
    svg.addEventListener("pointerdown", point);

    const ways = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    svg.addEventListener("keydown", (event) => {
      const way = ways[event.key];
      if (!way || !shown) return;
      event.preventDefault();
      const [dot] = nearest(shown.x, shown.y, (other) => {
        const x = other.x - shown.x, y = other.y - shown.y, along = x * way[0] + y * way[1];
        return along > 0 && Math.abs(x * way[1] + y * way[0]) <= along;
      });
      show(dot);
    });
    svg.addEventListener("focus", () => show(shown ?? nearest(320, 240, () => true)[0]));
    svg.tabIndex = 0;
    svg.setAttribute("aria-describedby", "map-help");

    const choice = document.getElementById("map-class");
    choice.addEventListener("change", () => {
      room.classList.toggle("chosen", choice.value !== "");
      for (const dot of dots) {
        const mine = dot.element.dataset.class === choice.value;
        dot.element.classList.toggle("lit", mine);
        if (mine) svg.insertBefore(dot.element, svg.querySelector(".ring, .far, .here")); // above the others
      }
    });
    document.getElementById("map-form").addEventListener("submit", (event) => event.preventDefault());
    for (const id of ["map-form", "map-card", "map-help"]) document.getElementById(id).hidden = false;
    show(dots[0]);
  }
}
