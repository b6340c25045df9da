"use strict";
(() => {
  const form = document.querySelector(".filters");
  if (!form) return;
  const rank = { high: 0, medium: 1, low: 2 };
  const orders = {
    severity: (a, b) => rank[a.dataset.severity] - rank[b.dataset.severity] || b.dataset.saving - a.dataset.saving,
    saving: (a, b) => b.dataset.saving - a.dataset.saving,
    resource: (a, b) => a.dataset.resource.localeCompare(b.dataset.resource),
  };
  const show = () => {
    const { category, severity, order, text } = form.elements;
    const words = text.value.toLowerCase();
    let count = 0;
    for (const section of document.querySelectorAll(".category")) {
      const list = section.querySelector("ul");
      const items = [...list.children].sort(orders[order.value]);
      let shown = 0;
      for (const item of items) {
        const fits = (!category.value || section.dataset.category === category.value)
          && (!severity.value || item.dataset.severity === severity.value)
          && (!words || item.textContent.toLowerCase().includes(words));
        item.hidden = !fits;
        shown += fits;
        list.append(item);
      }
      section.hidden = !shown;
      count += shown;
    }
    form.querySelector(".count").textContent = `${count} finding${count === 1 ? "" : "s"}`;
  };
  form.hidden = false;
  form.addEventListener("input", show);
  form.addEventListener("submit", (event) => event.preventDefault());
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((each) => { each.open = true; }));
})();
