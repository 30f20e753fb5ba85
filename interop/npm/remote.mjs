// Somebody of a venue's staff with a phone: drives the box's loudspeaker by the
// page that argv[3] is the link of, in the Chromium that argv[2] names, and prints
// after each press what the page shows and what the box says of itself, as JSON.
// argv[4] is playnode, argv[5] the box's repo. A picture of the page goes to argv[6].
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { begin } from './page.mjs'

const [program, link, playnode, repo, picture] = process.argv.slice(2)
const { browser, open, violations } = await begin(program, link, { width: 390, height: 844 })
const run = promisify(execFile)
const box = async (...args) => JSON.parse((await run(playnode, ['--repo', repo, '--json', ...args])).stdout)

try {
  const [page, met] = await open(link)
  const steps = []
  // told is a step's name, once the page shows what the box says.
  async function told (step, done) {
    let now
    const until = Date.now() + 30000
    for (;;) {
      now = await box('ctl', 'now')
      const shown = await page.evaluate(() => ({
        title: document.getElementById('title').textContent,
        artist: document.getElementById('artist').textContent,
        next: document.getElementById('next').textContent,
        percent: document.getElementById('percent').textContent,
        play: document.getElementById('play').getAttribute('aria-label'),
        pressed: document.querySelector('#shelf [aria-pressed=true]')?.textContent ?? '',
        state: document.getElementById('state').textContent,
        images: document.images.length
      }))
      const met = done(now, shown)
      if (met || Date.now() > until) {
        steps.push({ step, now, shown, met })
        return
      }
      await page.waitForTimeout(50)
    }
  }
  const press = name => page.getByRole('button', { name, exact: true }).click()
  const plays = (now, shown) => now.state === 'playing' && shown.title === now.title && shown.next !== '' && shown.play === 'Pause'
  await told('it plays', plays)
  const first = steps[0].now.cid
  await press('Pause')
  await told('pause', (now, shown) => now.state === 'paused' && shown.play === 'Play')
  await press('Play')
  await told('play', plays)
  await press('Next track')
  await told('next', (now, shown) => now.cid !== first && plays(now, shown))
  await press('Previous track')
  await told('prev', (now, shown) => now.cid === first && plays(now, shown))
  await page.locator('#volume').focus()
  for (let i = 0; i < 3; i++) await page.keyboard.press('ArrowLeft')
  await told('volume', (now, shown) => now.volume === 57 && shown.percent === '57 %')
  await press('Never play this here')
  await told('block', (now, shown) => now.blocked.length === 1 && now.cid !== first && plays(now, shown))
  if (picture) await page.screenshot({ path: picture, fullPage: true })
  const axe = await violations(page)
  await page.locator('#undo').click()
  await told('undo', now => now.blocked.length === 0)
  await press('late')
  await told('late', (now, shown) => now.playlist === 'late' && shown.pressed === 'late' && plays(now, shown))
  await press('Stop the music')
  await told('stop', (now, shown) => now.state === 'stopped' && shown.play === 'Play')
  await press('Play')
  await told('again', plays)
  const address = page.url()
  // The key is kept: the same page without it, as a bookmark is.
  await page.goto(address)
  await told('bookmark', plays)
  // Whatever page has the phone go to a link with another key, it keeps its own.
  await page.goto(address + '#nobodys')
  await told('bad link', plays)
  const { key } = await box('remote', '--new')
  await page.waitForFunction(() => document.getElementById('drive').hidden)
  const state = await page.locator('#state').textContent()
  await page.goto(address + '#' + key)
  await told('new link', plays)
  console.log(JSON.stringify({ ...met, axe, steps, address, state }))
} finally {
  await browser.close()
}
