package schedule

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rickar/cal/v2"
	"github.com/rickar/cal/v2/at"
	"github.com/rickar/cal/v2/au"
	"github.com/rickar/cal/v2/be"
	"github.com/rickar/cal/v2/ch"
	"github.com/rickar/cal/v2/cz"
	"github.com/rickar/cal/v2/de"
	"github.com/rickar/cal/v2/dk"
	"github.com/rickar/cal/v2/es"
	"github.com/rickar/cal/v2/fr"
	"github.com/rickar/cal/v2/gb"
	"github.com/rickar/cal/v2/gr"
	"github.com/rickar/cal/v2/hr"
	"github.com/rickar/cal/v2/ie"
	"github.com/rickar/cal/v2/it"
	"github.com/rickar/cal/v2/jp"
	"github.com/rickar/cal/v2/lt"
	"github.com/rickar/cal/v2/lv"
	"github.com/rickar/cal/v2/nc"
	"github.com/rickar/cal/v2/nl"
	"github.com/rickar/cal/v2/no"
	"github.com/rickar/cal/v2/pl"
	"github.com/rickar/cal/v2/se"
	"github.com/rickar/cal/v2/si"
	"github.com/rickar/cal/v2/us"
	"github.com/rickar/cal/v2/za"
)

// calendars are the public holidays of countries, by ISO 3166-1, and of parts of
// some, by 3166-2: those for which the library agrees with another source, or is
// made to.
func calendars() map[string]holidays {
	less := func(all []*cal.Holiday, some ...*cal.Holiday) []*cal.Holiday {
		return slices.DeleteFunc(slices.Clone(all), func(h *cal.Holiday) bool { return slices.Contains(some, h) })
	}
	return map[string]holidays{
		"AT":     at.Holidays,
		"AU-ACT": au.HolidaysACT,
		"AU-VIC": au.HolidaysVIC,
		"AU-WA":  au.HolidaysWA,
		"BE":     be.Holidays,
		"CH-AR":  ch.HolidaysAR,
		"CH-BE":  ch.HolidaysBE,
		"CH-BS":  ch.HolidaysBS,
		"CH-NW":  ch.HolidaysNW,
		"CH-SG":  ch.HolidaysSG,
		"CH-SH":  ch.HolidaysSH,
		"CH-SZ":  ch.HolidaysSZ,
		"CH-TG":  ch.HolidaysTG,
		"CH-UR":  ch.HolidaysUR,
		"CH-ZH":  ch.HolidaysZH,
		"CZ":     cz.Holidays,
		"DE":     de.Holidays,
		"DE-BB":  de.HolidaysBB,
		"DE-BE":  de.HolidaysBE,
		"DE-BW":  de.HolidaysBW,
		"DE-BY":  de.HolidaysBY,
		"DE-HB":  de.HolidaysHB,
		"DE-HE":  de.HolidaysHE,
		"DE-HH":  de.HolidaysHH,
		"DE-MV":  slices.Concat(de.HolidaysMV, []*cal.Holiday{de.Frauentag}), // since 2023
		"DE-NI":  de.HolidaysNI,
		"DE-NW":  de.HolidaysNW,
		"DE-RP":  de.HolidaysRP,
		"DE-SH":  de.HolidaysSH,
		"DE-SL":  de.HolidaysSL,
		"DE-SN":  de.HolidaysSN,
		"DE-ST":  de.HolidaysST,
		"DE-TH":  de.HolidaysTH,
		"DK":     less(dk.Holidays, dk.Grundlovsdag), // half a day
		"ES":     es.Holidays,
		"FR":     fr.Holidays,
		"GB":     gb.Holidays,
		"GR":     gr.Holidays,
		"HR":     hr.Holidays,
		"IE":     ie.Holidays,
		"IT":     slices.Concat(it.Holidays, []*cal.Holiday{{Month: time.October, Day: 4, Func: cal.CalcDayOfMonth, StartYear: 2026}}),
		"JP":     jp.Holidays,
		"LT":     lt.Holidays,
		"LV":     lv.Holidays,
		"NC":     nc.Holidays,
		"NL":     less(nl.Holidays, nl.GoedeVrijdag, nl.BevrijdingsDag), // which few have off
		"NO":     no.Holidays,
		"PL":     slices.Concat(pl.Holidays, []*cal.Holiday{{Month: time.December, Day: 24, Func: cal.CalcDayOfMonth, StartYear: 2025}}),
		"SE":     se.Holidays,
		"SI":     si.Holidays,
		"US":     us.Holidays,
		"ZA":     za.Holidays,
	}
}

// inUTC has dates reckoned in a zone in which every day has a midnight.
var inUTC = sync.OnceFunc(func() { cal.DefaultLoc = time.UTC })

// holidays are those of a country; nil has none.
type holidays []*cal.Holiday

// countries are the codes that a slot's Holidays may be.
func countries() []string { return slices.Sorted(maps.Keys(calendars())) }

// holidaysOf are a country's; those of "" are none.
func holidaysOf(code string) (out holidays, err error) {
	if code == "" {
		return nil, nil
	}
	all, ok := calendars()[code]
	if !ok {
		known := slices.DeleteFunc(countries(), func(c string) bool { return !strings.HasPrefix(c, code[:min(2, len(code))]+"-") })
		if len(known) == 0 {
			known = slices.DeleteFunc(countries(), func(c string) bool { return len(c) > 2 })
		}
		return nil, fmt.Errorf("%w: no public holidays are known of %.20q; known are %s", ErrRefused, code, strings.Join(known, ", "))
	}
	inUTC()
	for _, h := range all {
		if h.Type != cal.ObservanceReligious && h.Type != cal.ObservanceOther { // some say nothing
			out = append(out, h)
		}
	}
	return out, nil
}

// has tells whether a day is a public holiday, or is off in place of one.
func (h holidays) has(day time.Time) bool {
	if len(h) == 0 {
		return false
	}
	actual, observed, _ := (&cal.Calendar{Holidays: h}).IsHoliday(day)
	return actual || observed
}
