"use strict";
// Puts parts of the overview in place as they change. Without it the page is the same, and is reloaded by hand.
(() => {
  const parts = document.getElementById("parts");
  if (!parts || !window.EventSource) return;
  const lost = document.getElementById("lost");
  const name = document.title.replace(/^\w+: /, "");
  let heard = Date.now();

  const put = (id, html) => {
    const part = document.getElementById(id);
    if (!part) return;
    const closed = new Map([...part.querySelectorAll("details[id]")].map((each) => [each.id, each.open]));
    const focused = part.contains(document.activeElement) ? document.activeElement.getAttribute("href") : null;
    part.innerHTML = html;
    for (const [each, open] of closed) {
      const again = document.getElementById(each);
      if (again) again.open = open;
    }
    if (focused) part.querySelector(`a[href="${CSS.escape(focused)}"], a[href="${focused}"]`)?.focus();
  };

  const source = new EventSource(parts.dataset.live);
  source.addEventListener("news", (event) => {
    const news = JSON.parse(event.data);
    heard = Date.now();
    lost.hidden = true;
    document.body.dataset.level = news.level;
    document.title = `${news.level}: ${name}`;
    for (const [id, html] of Object.entries(news.parts)) put(id, html);
    document.documentElement.dataset.news = news.at;
  });
  source.addEventListener("lost", (event) => {
    lost.textContent = `What is shown is old: ${JSON.parse(event.data).why}`;
    lost.hidden = false;
  });
  setInterval(() => {
    if (Date.now() - heard > 10000) lost.hidden = false;
  }, 1000);
})();
