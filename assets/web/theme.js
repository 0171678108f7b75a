// Light or dark: what was asked for, what was chosen before, else what the system prefers.

import { bus } from "./bus.js";

const root = document.documentElement;

const stored = () => {
  try {
    return localStorage.getItem("beyond-attention-theme");
  } catch {
    return null;
  }
};

export function setTheme(theme, remember = true) {
  root.dataset.theme = theme;
  document.body.classList.toggle("dark", theme === "dark");
  const button = document.querySelector("#theme-button");
  if (button) button.textContent = theme === "dark" ? "Light" : "Dark";
  if (remember) {
    try {
      localStorage.setItem("beyond-attention-theme", theme);
    } catch {
      // private windows may refuse; the theme then lasts as long as the page
    }
  }
  bus.dispatchEvent(new CustomEvent("theme", { detail: { theme } }));
}

export function toggleTheme() {
  setTheme(root.dataset.theme === "dark" ? "light" : "dark");
}

export function firstTheme() {
  const asked = new URLSearchParams(location.search).get("__theme");
  if (asked === "dark" || asked === "light") return asked;
  return stored() ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
}
