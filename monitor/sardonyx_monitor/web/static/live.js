// Keeps the page as it would be if it were loaded now: fetches it again and puts what differs into place.
// The server alone decides how a page looks; nothing is rendered twice.

const INTERVAL_MS = 2000;
const pulse = document.getElementById("pulse");

async function refresh() {
  if (document.hidden) return;
  try {
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
    if (!answer.ok) throw new Error(`status ${answer.status}`);
    const fresh = new DOMParser().parseFromString(await answer.text(), "text/html");
    for (const part of document.querySelectorAll("[data-live]")) {
      const now = fresh.querySelector(`[data-live="${part.dataset.live}"]`);
      if (now && now.innerHTML !== part.innerHTML && !isSelecting(part)) part.innerHTML = now.innerHTML;
    }
    document.dispatchEvent(new Event("sardonyx:refresh"));
    show(true);
  } catch {
    show(false);
  }
}

// What a person is about to copy must not go away under their hands.
function isSelecting(part) {
  const selection = getSelection();
  return !selection.isCollapsed && part.contains(selection.anchorNode);
}

function show(reached) {
  pulse.classList.toggle("away", !reached);
  pulse.title = reached ? "The page updates by itself" : "The monitor does not answer; trying again";
}

async function forever() {
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, INTERVAL_MS));
    await refresh();
  }
}

if (document.querySelector("[data-live]")) forever();
