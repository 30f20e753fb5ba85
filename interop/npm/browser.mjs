// A listener with a phone: opens pages in the Chromium that argv[2] names, presses
// play, listens on until argv[3] seconds of each were heard, and prints what it
// met as JSON. A picture of a set with one goes to argv[4]. Of one page more, the
// list of a box's sets, it goes to each of them; of several, which are links, it
// opens each, and of those after "silent" only reads what they say.
import { begin } from './page.mjs'

const [program, length, picture, ...pages] = process.argv.slice(2)
const seconds = Number(length)
const { browser, open, violations } = await begin(program, pages[0], { width: 390, height: 480 })

// counts are what the player has decoded.
const counts = page => page.evaluate(() => {
  const p = document.getElementById('player')
  return { time: p.currentTime, sound: p.webkitAudioDecodedByteCount, frames: p.webkitDecodedFrameCount ?? 0, width: p.videoWidth ?? 0 }
})

// listen hears the set of a page, or the i-th of those that it lists.
async function listen (url, i) {
  const [page, met] = await open(url)
  if (i !== undefined) await page.locator('main li a').nth(i).click()
  await page.locator('#player').focus()
  // What is pressed before a page is seen goes nowhere: the browser drops it.
  await page.waitForFunction(() => document.activeElement?.id === 'player' && performance.getEntriesByName('first-contentful-paint').length > 0)
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
  let state = ''
  try {
    await heard(seconds)
    at.push(await counts(page))
    // On from here, and more of it decoded than then.
    const says = await page.waitForFunction(([time, sound, frames]) => {
      const p = document.getElementById('player'); const state = document.getElementById('state').textContent
      return p.currentTime > time && p.webkitAudioDecodedByteCount > sound && (p.videoWidth > 0 ? p.webkitDecodedFrameCount > frames : true) &&
        state === 'Playing.' && state
    }, [at[1].time, at[1].sound, at[1].frames])
    state = await says.jsonValue()
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
    kind: await page.evaluate(() => document.getElementById('kind')?.textContent ?? ''),
    began: await page.evaluate(() => { const p = document.getElementById('player').played; return p.length ? p.start(0) : -1 }),
    state: state || await page.locator('#state').textContent(),
    images: await page.locator('img').count(),
    element: await page.locator('#player').evaluate(e => e.localName),
    seconds: await page.evaluate(() => { const p = document.getElementById('player').played; let n = 0; for (let i = 0; i < p.length; i++) n += p.end(i) - p.start(i); return n }),
    sound: [then.sound, now.sound],
    frames: [then.frames, now.frames],
    width: now.width
  }
}

// read is what a page says that plays nothing.
async function read (url) {
  const [page, met] = await open(url)
  await page.waitForFunction(() => document.getElementById('state').textContent !== 'Opening.')
  return { ...met, axe: await violations(page), state: await page.locator('#state').textContent(), players: await page.locator('#player').count() }
}

try {
  if (pages.length === 1) {
    const [list, met] = await open(pages[0])
    const sets = await list.locator('main li a').count()
    const heard = await Promise.all(Array.from({ length: sets }, (_, i) => listen(pages[0], i)))
    console.log(JSON.stringify({ ...met, axe: await violations(list), heard }))
  } else {
    const silent = pages.indexOf('silent')
    const heard = await Promise.all(pages.slice(0, silent).map(url => listen(url)))
    console.log(JSON.stringify({ heard, silent: await Promise.all(pages.slice(silent + 1).map(read)) }))
  }
} finally {
  await browser.close()
}
