// Runs before anything is painted, so that a page in the dark does not flash white. See theme.js.
(function () {
  var theme = localStorage.getItem("slackwater-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
})();
