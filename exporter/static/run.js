"use strict";
// "Run now": asks the scheduler for a run. Without a script the page is complete but for this button.
const button = document.getElementById("run-now");
const state = document.getElementById("run-state");

async function ask() {
  button.disabled = true;
  state.textContent = "Asking...";
  try {
    const answer = await fetch(button.dataset.url, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ model_name: button.dataset.model || null }),
    });
    const body = await answer.json();
    state.textContent = answer.ok
      ? "Asked for. The scheduler starts it in a moment; reload this page to see it."
      : body.detail;
  } catch (error) {
    state.textContent = "The exporter did not answer.";
  }
  button.disabled = false;
}

if (button) {
  button.hidden = false;
  button.addEventListener("click", ask);
}
