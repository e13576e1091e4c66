// Asks for the page once more, from this site: then the browser sends its cookie, and the
// fragment stays. If a browser takes a reload for the same link of another site, the
// question is a new one.
if (performance.getEntriesByType('navigation')[0]?.type !== 'reload') location.reload()
else location.replace('./?again' + location.hash)
