"use strict";
(() => {
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const one = (selector) => document.querySelector(selector);

  all(".scripted").forEach((control) => { control.hidden = false; });

  // Light and dark: what the machine says, until the reader says otherwise.
  const theme = one("#theme");
  const machine = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (machine.matches ? "dark" : "light")) === "dark";
  const nameTheme = () => { theme.textContent = isDark() ? theme.dataset.light : theme.dataset.dark; };
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    nameTheme();
  });
  machine.addEventListener("change", nameTheme);
  nameTheme();

  // Filters.
  const filters = one("#filters");
  const text = one("#text");
  const area = one("#area");
  const shown = one("#shown");
  const findings = all(".finding");
  const words = new Map();
  const wordsOf = (item) => {
    if (!words.has(item)) words.set(item, item.textContent.toLowerCase());
    return words.get(item);
  };
  const filter = () => {
    const severities = new Set(all("[name=severity]:checked", filters).map((tick) => tick.value));
    const wanted = text.value.trim().toLowerCase();
    const matches = (item) =>
      (!item.dataset.severity || severities.has(item.dataset.severity)) &&
      (!area.value || item.dataset.area === undefined || item.dataset.area === area.value) &&
      (!wanted || wordsOf(item).includes(wanted));
    for (const item of all(".finding, .check")) item.classList.toggle("off", !matches(item));
    for (const branch of all(".area")) {
      branch.classList.toggle("off", all(".check", branch).every((row) => row.classList.contains("off")));
    }
    const off = new Set(findings.filter((item) => item.classList.contains("off")).map((item) => item.id));
    for (const node of all(".node")) {
      node.classList.toggle("dim", node.dataset.findings.split(" ").every((id) => off.has(id)));
    }
    for (const note of all(".nothing")) {
      note.hidden = all(".finding", note.parentElement).some((item) => !item.classList.contains("off"));
    }
    const count = findings.length - off.size;
    const phrase = off.size === 0 ? shown.dataset.all : shown.dataset.some;
    shown.textContent = phrase.replace("%shown", count).replace("%all", findings.length);
  };
  filters.addEventListener("input", filter);
  filters.addEventListener("submit", (event) => event.preventDefault());
  filter();

  // All folds at once.
  const fold = one("#fold");
  const folds = all("details");
  fold.addEventListener("click", () => {
    const open = fold.getAttribute("aria-pressed") !== "true";
    fold.setAttribute("aria-pressed", open);
    folds.forEach((details) => { details.open = open; });
  });

  // A link leads to what it names, even if that is folded or filtered away.
  const chosen = () => {
    const target = location.hash && document.getElementById(location.hash.slice(1));
    all(".node").forEach((node) => {
      node.classList.toggle("chosen", Boolean(target) && node.dataset.findings.split(" ").includes(target.id));
    });
    if (!target) return;
    if (target.closest(".off")) {
      filters.reset();
      filter();
    }
    for (let at = target; at; at = at.parentElement) if (at instanceof HTMLDetailsElement) at.open = true;
    const first = target.matches("details") ? target.querySelector("summary") : target;
    first.focus({ preventScroll: true });
    target.scrollIntoView({ block: "start" });
  };
  addEventListener("hashchange", chosen);
  // The same link once more leads there once more.
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a");
    if (link && link.getAttribute("href") === location.hash) chosen();
  });
  if (location.hash) chosen();

  // Commands.
  const select = (code) => {
    const range = document.createRange();
    range.selectNodeContents(code);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const copy = async (code) => {
    try {
      await navigator.clipboard.writeText(code.textContent);
      return true;
    } catch {
      select(code);
      return document.execCommand("copy");
    }
  };
  for (const button of all(".copy")) {
    const name = button.textContent;
    button.addEventListener("click", async () => {
      if (!(await copy(button.parentElement.querySelector("code")))) return;
      button.textContent = button.dataset.done;
      setTimeout(() => { button.textContent = name; }, 1500);
    });
  }

  // On paper nothing is folded.
  let folded = [];
  addEventListener("beforeprint", () => {
    folded = folds.filter((details) => !details.open);
    folded.forEach((details) => { details.open = true; });
  });
  addEventListener("afterprint", () => folded.forEach((details) => { details.open = false; }));
})();
