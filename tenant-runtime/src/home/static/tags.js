// Suggests tags while several are typed into one field: the browser's own list, rewritten for the part after the last comma.
for (const field of document.querySelectorAll("[data-tags]")) {
  const list = document.getElementById(field.dataset.tags);
  if (!list) continue;
  const words = [...list.options].map((option) => option.value);
  const rewrite = () => {
    const parts = field.value.split(",");
    parts.pop();
    const chosen = new Set(parts.map((part) => part.trim().toLowerCase()));
    const before = parts.length ? `${parts.map((part) => part.trim()).join(", ")}, ` : "";
    list.replaceChildren(
      ...words
        .filter((word) => !chosen.has(word.toLowerCase()))
        .map((word) => Object.assign(document.createElement("option"), { value: before + word })),
    );
  };
  field.addEventListener("input", rewrite);
  field.addEventListener("focus", rewrite);
}
