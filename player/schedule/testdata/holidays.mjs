// What holidays.json has: the public holidays of 2026 to 2028 that are no Sundays,
// by date-holidays 3.37.0 (npm), for each code on the command line. Not run by any
// test:
//   npm install date-holidays@3.37.0 && node holidays.mjs AT DE-BY ... > holidays.json
import Holidays from 'date-holidays'

const out = {}
for (const code of process.argv.slice(2)) {
  const days = new Set()
  const of = new Holidays(...code.split('-'))
  for (const year of [2026, 2027, 2028]) {
    for (const h of of.getHolidays(year)) {
      const day = h.date.slice(0, 10)
      if (h.type === 'public' && new Date(day).getUTCDay() !== 0) days.add(day)
    }
  }
  out[code] = [...days].sort()
}
console.log('{' + Object.entries(out).map(([code, days]) => JSON.stringify(code) + ': ' + JSON.stringify(days)).join(',\n') + '}')
