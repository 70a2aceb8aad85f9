// The bundle goes up in parts, resumable; then the page of what is in it opens. Without this script the form does the same
// in one request.
import { Upload, show } from "../js/upload.js";

const form = document.querySelector("[data-import]");
const input = form?.querySelector("input[type=file]");
const drop = form?.querySelector(".drop");
const places = form?.querySelector("[data-import-progress]");

async function send(file) {
  if (!file || form.dataset.busy) return;
  form.dataset.busy = "yes";
  const upload = new Upload(file, { metadata: { purpose: "import" } });
  show(upload, places);
  try {
    const address = await upload.start();
    const answer = await fetch(address, { method: "HEAD", headers: { "tus-resumable": "1.0.0" } });
    location.assign(answer.headers.get("upload-result") ?? "/control/import");
  } catch {
    // The progress bar says what went wrong, and stays.
    delete form.dataset.busy;
    input.value = "";
  }
}

if (form && input) {
  input.addEventListener("change", () => send(input.files[0]));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.files.length) send(input.files[0]);
    else input.click();
  });
  for (const kind of ["dragenter", "dragover"]) {
    drop.addEventListener(kind, (event) => {
      event.preventDefault();
      drop.dataset.over = "";
    });
  }
  drop.addEventListener("dragleave", () => delete drop.dataset.over);
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    delete drop.dataset.over;
    send(event.dataTransfer.files[0]);
  });
}
