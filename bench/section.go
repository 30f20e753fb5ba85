package main

import (
	"bytes"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// section is a part of the page that can be measured alone, into the page that
// is there. It has a table of its own goals at its end.
type section struct {
	name, title string
	measure     func(*runner) error
	write       func(*runner, *bytes.Buffer)
}

// sections are the page, in this order.
var sections = []section{
	{"music", "Music", (*runner).music, (*runner).musicPage},
	{"leases", "Leases", (*runner).leases, (*runner).leasesPage},
	{"names", "Names", (*runner).names, (*runner).namesPage},
	{"sound", "Sound", (*runner).sound, (*runner).soundPage},
	{"fetch", "Fetching", (*runner).fetching, (*runner).fetchingPage},
	{"import", "Import", (*runner).importing, (*runner).importingPage},
	{"search", "Search", (*runner).searching, (*runner).searchingPage},
	{"starts", "Starts", (*runner).starting, (*runner).startingPage},
	{"loss", "Lossy lines", (*runner).lossy, (*runner).lossyPage},
	{"loss-fetch", "Fetching over lossy lines", (*runner).lossyFetch, (*runner).lossyFetchPage},
	{"rest", "At rest", (*runner).rest, (*runner).restPage},
	{"swarm", "Swarm", (*runner).swarm, (*runner).swarmPage},
	{"simulated", "Simulated swarms", (*runner).simulated, (*runner).simulatedPage},
	{"on-air", "On air", (*runner).onAir, (*runner).onAirPage},
	{"simulated-air", "Simulated sets on air", (*runner).simulatedAir, (*runner).simulatedAirPage},
}

func sectionNamed(name string) (section, error) {
	var names []string
	for _, s := range sections {
		if s.name == name {
			return s, nil
		}
		names = append(names, s.name)
	}
	return section{}, fmt.Errorf("there is no section %q; there are %s", name, strings.Join(names, ", "))
}

// page is the section as BENCH.md has it.
func (s section) page(r *runner) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "\n## %s\n\nOn %s: %s.\n", s.title, time.Now().UTC().Format("2 January 2006"), machine())
	s.write(r, &b)
	return b.Bytes()
}

// again measures some sections alone, into the page that is there.
func (r *runner) again(names []string) error {
	for _, name := range names {
		s, err := sectionNamed(name)
		if err != nil {
			return err
		}
		if err := s.measure(r); err != nil {
			return err
		}
		page, err := os.ReadFile(r.Out)
		if err != nil {
			return err
		}
		if err := os.WriteFile(r.Out, replaced(page, s.title, s.page(r)), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// replaced is a page with the section of that title as given; a new one comes
// before the first of those that follow it.
func replaced(page []byte, title string, with []byte) []byte {
	at := func(title string) int { return bytes.Index(page, []byte("\n## "+title+"\n")) }
	from := at(title)
	if from < 0 {
		i := slices.IndexFunc(sections, func(s section) bool { return s.title == title })
		for _, s := range sections[i+1:] {
			if before := at(s.title); before >= 0 {
				return slices.Concat(page[:before], with, page[before:])
			}
		}
		return append(page, with...)
	}
	var after []byte
	if n := bytes.Index(page[from+1:], []byte("\n## ")); n >= 0 {
		after = page[from+1+n:]
	}
	return bytes.Join([][]byte{page[:from], with, after}, nil)
}

// goal is one line of a section's last table.
type goal struct {
	want, measured string
	met            bool
}

func writeGoals(b *bytes.Buffer, goals ...goal) {
	fmt.Fprintf(b, "\n| goal | measured | |\n|---|---|---|\n")
	for _, g := range goals {
		verdict := "**falls short**"
		if g.met {
			verdict = "met"
		}
		fmt.Fprintf(b, "| %s | %s | %s |\n", g.want, g.measured, verdict)
	}
}
