// How strong a password is, said while it is typed. The server judges, with the same judgement as when it is sent.
function follow(field) {
  const bar = document.querySelector(`[data-strength-for="${CSS.escape(field.id)}"]`);
  const words = document.querySelector(`[data-strength-words="${CSS.escape(field.id)}"]`);
  if (!bar || !words) return;
  let timer;
  let asked;
  function show(score, text) {
    bar.dataset.score = String(score);
    words.textContent = text;
  }
  async function ask() {
    asked = new AbortController();
    try {
      const body = new URLSearchParams({ password: field.value });
      const answer = await fetch(field.dataset.strength, { method: "POST", body, signal: asked.signal, headers: { accept: "application/json" } });
      if (!answer.ok) return;
      const { score, label, hint } = await answer.json();
      // A password that is not taken shows at most two parts of four, so that the bar and the words agree.
      show(Math.max(1, score), `${label}. ${hint}`);
    } catch {
      // Sending the form judges again; a lost connection is no reason to disturb.
    }
  }
  field.addEventListener("input", () => {
    clearTimeout(timer);
    asked?.abort();
    if (field.value) timer = setTimeout(ask, 250);
    else show(0, "");
  });
}

for (const field of document.querySelectorAll("[data-strength]")) follow(field);
