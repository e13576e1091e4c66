// Sets the scheme that the reader has chosen before anything is shown, and lets the form of
// the token come back to the same place. It is no module, so that it runs at once.
try {
  const scheme = localStorage.getItem('distproc-scheme')
  if (scheme === 'light' || scheme === 'dark') document.documentElement.dataset.scheme = scheme
} catch {
  // A browser that keeps nothing follows the system.
}
addEventListener('DOMContentLoaded', () => {
  const form = document.getElementById('login')
  if (form) form.action = 'session' + location.hash
})
