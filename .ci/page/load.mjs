import { readFileSync } from 'node:fs'

// load returns a module of the page that imports no other. It is no file with a name that
// tells Node.js that it is a module, so its text is loaded.
export function load(name) {
  const text = readFileSync(new URL('../../node/gateway/page/static/' + name, import.meta.url))
  return import('data:text/javascript;base64,' + text.toString('base64'))
}
