// Dark or light as chosen, else as the system has it. A classic script in the head: with a module the page would first be painted in the other.
{
  const KEY = "godwit.theme";
  const names = { auto: "System", light: "Light", dark: "Dark" };
  let stored = null;
  try {
    stored = localStorage.getItem(KEY);
  } catch {
    // Storage is forbidden: the system's theme it is.
  }
  let theme = Object.hasOwn(names, stored) ? stored : "auto";
  document.documentElement.dataset.theme = theme;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const show = () => {
      document.documentElement.dataset.theme = theme;
      document.getElementById("theme-name").textContent = names[theme];
      button.setAttribute("aria-label", `Theme: ${names[theme]}`);
    };
    button.addEventListener("click", () => {
      const order = Object.keys(names);
      theme = order[(order.indexOf(theme) + 1) % order.length];
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // It holds until the page is closed.
      }
      show();
    });
    show();
  });
}
