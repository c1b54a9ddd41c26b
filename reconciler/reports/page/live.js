(() => {
  "use strict";
  const source = new EventSource(document.body.dataset.events);
  const live = document.getElementById("live");
  const say = (words, lost) => { live.textContent = words; live.classList.toggle("lost", lost); };

  // Nodes keep their place and take on the new state, so that a change of colour can be seen; everything else is replaced.
  const recolour = (old, fresh) => {
    for (const name of ["class", "aria-label"]) old.setAttribute(name, fresh.getAttribute(name));
    old.replaceChildren(...fresh.childNodes);
  };
  const update = (old, fresh) => {
    if (old.outerHTML === fresh.outerHTML) return;
    if (old.id === "graph" && old.dataset.shape === fresh.dataset.shape) {
      for (const node of fresh.querySelectorAll(".node")) recolour(document.getElementById(node.id), node);
      return;
    }
    for (const box of old.querySelectorAll("details:not([open])")) {
      const same = box.id && fresh.querySelector("#" + box.id);
      if (same) same.removeAttribute("open");
    }
    const active = old.contains(document.activeElement) ? document.activeElement : null;
    const owner = active && active.closest("[id]");
    const number = owner ? [...owner.querySelectorAll("a, summary")].indexOf(active) : -1;
    old.replaceWith(document.adoptNode(fresh));
    const again = owner && document.getElementById(owner.id);
    if (again) (again.querySelectorAll("a, summary")[number] || again).focus({ preventScroll: true });
  };

  source.addEventListener("report", (event) => {
    const page = new DOMParser().parseFromString(JSON.parse(event.data), "text/html");
    document.title = page.title;
    for (const fresh of page.querySelectorAll("[data-part]")) update(document.getElementById(fresh.id), fresh);
    say("live; last look at " + page.body.dataset.at, false);
  });
  source.addEventListener("failed", (event) => say("the last look failed: " + JSON.parse(event.data), true));
  source.addEventListener("error", () => say("not connected; what is shown may be old", true));
})();
