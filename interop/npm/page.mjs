// Pages in a Chromium, and every complaint about them.
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

const patience = 60000 // ms

// begin starts the browser, whose windows are of that size; its pages are of the
// box that has the one at url.
export async function begin (program, url, viewport) {
  const base = new URL('/', url).href
  const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
  const browser = await chromium.launch({
    executablePath: program,
    args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--disable-gpu']
  })
  // open is a page, and what is complained of it; strange is what it asks of others.
  async function open (url) {
    const page = await browser.newPage({ viewport })
    page.setDefaultTimeout(patience)
    const met = { errors: [], strange: [] }
    page.on('console', m => { if (m.type() === 'error') met.errors.push({ text: m.text(), url: m.location().url }) })
    page.on('pageerror', e => met.errors.push({ text: String(e), url: page.url() }))
    page.on('dialog', d => { met.errors.push({ text: 'a dialog: ' + d.message(), url: page.url() }); d.dismiss() })
    page.on('request', r => { if (!r.url().startsWith(base) && !r.url().startsWith('blob:' + base)) met.strange.push(r.url()) })
    await page.addInitScript(() => {
      document.addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI))
    })
    await page.goto(url)
    return [page, met]
  }
  // violations are what axe finds.
  async function violations (page) {
    await page.evaluate(axe)
    const found = await page.evaluate(() => axe.run())
    return found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))
  }
  return { browser, open, violations }
}
