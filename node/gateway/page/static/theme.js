// Sets the chosen scheme before anything is shown: it is no module, which would be later. The
// form of the token leads back to the same place.
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
