// Words that scripts say, given by the server in the reader's language, and times in the reader's own time zone.

const given = document.getElementById("ui-words")?.dataset ?? {};
// The server says "4 May": the English of most of the world.
const lang = { en: "en-GB" }[document.documentElement.lang] ?? document.documentElement.lang;

/** A word of the template `ui-words`, its places filled in. */
export function word(name, args = {}) {
  return (given[name] ?? name).replace(/\{(\w+)\}/g, (place, key) => args[key] ?? place);
}

/** The time left, as people say it. */
export function left(seconds) {
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 90) return word("seconds", { n: Math.max(1, Math.round(seconds)) });
  if (seconds < 5400) return word("minutes", { n: Math.round(seconds / 60) });
  return word("hours", { n: Math.round(seconds / 3600) });
}

/** A size, as the server says it. */
export function bytes(n) {
  const units = ["byte", "kilobyte", "megabyte", "gigabyte", "terabyte"];
  let unit = 0;
  for (; n >= 999.5 && unit < units.length - 1; unit += 1) n /= 1000;
  const digits = unit > 0 && n < 99.95 ? 1 : 0;
  return new Intl.NumberFormat(lang, { style: "unit", unit: units[unit], unitDisplay: unit ? "short" : "long", maximumFractionDigits: digits }).format(n);
}

/** Says every `<time>` below `root` in local time. */
export function localTimes(root = document) {
  const exact = new Intl.DateTimeFormat(lang, { dateStyle: "full", timeStyle: "short" });
  for (const time of root.querySelectorAll("time[datetime][data-form]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.valueOf())) continue;
    time.title = exact.format(at);
    time.textContent = say(at, time.dataset.form);
  }
}

function say(at, form) {
  const now = new Date();
  const day = { day: "numeric", month: "long", year: "numeric" };
  if (form === "day") return new Intl.DateTimeFormat(lang, day).format(at);
  const days = Math.round((midnight(now) - midnight(at)) / 864e5);
  const named = { "-1": "tomorrow", 0: "today", 1: "yesterday" }[days];
  if (named) return `${word(named)}, ${new Intl.DateTimeFormat(lang, { timeStyle: "short" }).format(at)}`;
  if (at.getFullYear() === now.getFullYear()) delete day.year;
  return new Intl.DateTimeFormat(lang, day).format(at);
}

function midnight(at) {
  return new Date(at.getFullYear(), at.getMonth(), at.getDate()).valueOf();
}
