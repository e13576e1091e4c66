// See again in gateway/page.go.
if (performance.getEntriesByType('navigation')[0]?.type !== 'reload') location.reload()
else location.replace('./?again' + location.hash)
