// A listener with a phone: opens the box's page in the Chromium that argv[2]
// names, goes from the list at argv[3] to each set on it, presses play, listens
// on until argv[4] seconds of each were heard, and prints what it met as JSON.
// A picture of a set with one goes to argv[5].
import { readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { chromium } from 'playwright-core'

const [program, base, length, picture] = process.argv.slice(2)
const seconds = Number(length)
const patience = 60000 // ms
const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8')
const browser = await chromium.launch({
  executablePath: program,
  args: ['--no-sandbox', '--autoplay-policy=no-user-gesture-required', '--disable-gpu']
})

// open is a page whose every complaint is written down.
async function open () {
  const page = await browser.newPage({ viewport: { width: 390, height: 480 } })
  page.setDefaultTimeout(patience)
  const met = { errors: [], strange: [] }
  page.on('console', m => { if (m.type() === 'error') met.errors.push({ text: m.text(), url: m.location().url }) })
  page.on('pageerror', e => met.errors.push({ text: String(e), url: page.url() }))
  page.on('dialog', d => { met.errors.push({ text: 'a dialog: ' + d.message(), url: page.url() }); d.dismiss() })
  page.on('request', r => { if (!r.url().startsWith(base) && !r.url().startsWith('blob:' + base)) met.strange.push(r.url()) })
  await page.addInitScript(() => {
    document.addEventListener('securitypolicyviolation', e => console.error('policy: ' + e.violatedDirective + ' ' + e.blockedURI))
  })
  await page.goto(base)
  return [page, met]
}

async function violations (page) {
  await page.evaluate(axe)
  const found = await page.evaluate(() => axe.run())
  return found.violations.map(v => v.id + ': ' + v.nodes.map(n => n.html).join(' '))
}

// counts are what the player has decoded.
const counts = page => page.evaluate(() => {
  const p = document.getElementById('player')
  return { time: p.currentTime, sound: p.webkitAudioDecodedByteCount, frames: p.webkitDecodedFrameCount ?? 0, width: p.videoWidth ?? 0 }
})

async function listen (i) {
  const [page, met] = await open()
  await page.locator('main li a').nth(i).click()
  await page.locator('#player').focus()
  await page.keyboard.press('Space')
  // heard is whether so many seconds have sounded since: a jump does not count, and
  // a player that begins anew counts anew.
  const heard = s => page.waitForFunction(s => {
    const p = document.getElementById('player')
    let n = 0
    for (let i = 0; i < p.played.length; i++) n += p.played.end(i) - p.played.start(i)
    return n >= s && !p.paused && p.webkitAudioDecodedByteCount > 0
  }, s)
  const at = [await counts(page)]
  try {
    await heard(seconds)
    at.push(await counts(page))
    // On from here, and more of it decoded than then.
    await page.waitForFunction(([time, sound, frames]) => {
      const p = document.getElementById('player')
      return p.currentTime > time && p.webkitAudioDecodedByteCount > sound && (p.videoWidth > 0 ? p.webkitDecodedFrameCount > frames : true) &&
        document.getElementById('state').textContent === 'Playing.'
    }, [at[1].time, at[1].sound, at[1].frames])
    at.push(await counts(page))
  } catch (e) {
    met.errors.push({ text: String(e), url: page.url() })
    at.push(await counts(page))
  }
  const [then, now] = [at.at(-2), at.at(-1)]
  if (picture && now.width > 0) {
    await page.locator('#player').blur()
    await page.screenshot({ path: picture })
  }
  return {
    ...met,
    axe: await violations(page),
    playlist: await page.locator('h1').textContent(),
    title: await page.locator('#title').textContent(),
    state: await page.locator('#state').textContent(),
    images: await page.locator('img').count(),
    element: await page.locator('#player').evaluate(e => e.localName),
    seconds: await page.evaluate(() => { const p = document.getElementById('player').played; let n = 0; for (let i = 0; i < p.length; i++) n += p.end(i) - p.start(i); return n }),
    sound: [then.sound, now.sound],
    frames: [then.frames, now.frames],
    width: now.width
  }
}

try {
  const [list, met] = await open()
  const sets = await list.locator('main li a').count()
  const heard = await Promise.all(Array.from({ length: sets }, (_, i) => listen(i)))
  console.log(JSON.stringify({ ...met, axe: await violations(list), heard }))
} finally {
  await browser.close()
}
