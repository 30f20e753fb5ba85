// Package piece composes and renders one short piece of music, so that the
// project has something of its own to play: electric piano, a soft pad, bass,
// plucked arpeggios, a vibraphone melody and quiet drums, in D, about forty
// seconds.
//
// In goes a sample rate; out come samples. The same rate gives the same samples
// every time on one architecture (others may fuse multiply and add, and differ
// in the last bit). Nothing is read from anywhere.
package piece

// tempo in beats a minute, and the bar in beats.
const (
	tempo = 92.0
	bar   = 4.0
)

// tail is how long the last chord rings, in seconds.
const tail = 3.2

// A harmony is one chord: its bass and the voicing above it, as MIDI notes.
type harmony struct {
	bass  int
	upper [4]int
}

var (
	dMaj9   = harmony{38, [4]int{54, 57, 61, 64}}
	fSharp7 = harmony{42, [4]int{52, 57, 61, 64}}
	gMaj9   = harmony{43, [4]int{54, 57, 59, 62}}
	eMin9   = harmony{40, [4]int{55, 59, 62, 66}}
	bMin9   = harmony{35, [4]int{57, 61, 62, 66}}
	bFlat9  = harmony{34, [4]int{53, 57, 62, 64}}
	aSus    = harmony{33, [4]int{55, 59, 62, 66}}
	aSeven  = harmony{33, [4]int{55, 59, 61, 66}}
)

// changes is the progression, two chords a bar.
var changes = [][2]harmony{
	{dMaj9, dMaj9}, {bMin9, bMin9}, {gMaj9, gMaj9}, {aSus, aSus},
	{dMaj9, dMaj9}, {fSharp7, fSharp7}, {bMin9, bMin9}, {eMin9, aSus},
	{gMaj9, gMaj9}, {fSharp7, fSharp7}, {eMin9, eMin9}, {bFlat9, bFlat9},
	{aSus, aSeven}, {dMaj9, dMaj9},
}

// A note sounds from a beat on, for a number of beats, at a velocity of 0 to 1.
type note struct {
	at, length float64
	pitch      int
	velocity   float64
}

// melody is what the vibraphone plays: bar, beat in it, length, pitch.
var melody = []struct {
	bar          int
	beat, length float64
	pitch        int
}{
	{1, 3, .5, 66}, {1, 3.5, .5, 69},
	{2, 0, 1.5, 71}, {2, 1.5, .5, 69}, {2, 2, 1, 66}, {2, 3, 1, 74},
	{3, 0, 1.5, 71}, {3, 1.5, .5, 69}, {3, 2, 1.5, 76}, {3, 3.5, .5, 78},
	{4, 0, 1.5, 78}, {4, 1.5, .5, 76}, {4, 2, 1, 73}, {4, 3, 1, 69},
	{5, 0, 2.5, 73}, {5, 2.5, .5, 71}, {5, 3, .5, 69}, {5, 3.5, .5, 66},
	{6, 0, 1.5, 74}, {6, 1.5, .5, 73}, {6, 2, 1, 69}, {6, 3, 1, 78},
	{7, 0, 1.5, 79}, {7, 1.5, .5, 78}, {7, 2, 1, 76}, {7, 3, .5, 74}, {7, 3.5, .5, 71},
	{8, 0, 1, 74}, {8, 1, 1, 78}, {8, 2, 1.5, 81}, {8, 3.5, .5, 78},
	{9, 0, 1, 81}, {9, 1, .5, 78}, {9, 1.5, 1, 76}, {9, 2.5, 1.5, 73},
	{10, 0, 1, 74}, {10, 1, .5, 76}, {10, 1.5, 1, 78}, {10, 2.5, 1.5, 71},
	{11, 0, 1.5, 74}, {11, 1.5, .5, 76}, {11, 2, 1, 77}, {11, 3, 1, 81},
	{12, 0, 1.5, 78}, {12, 1.5, .5, 76}, {12, 2, 1, 74}, {12, 3, 1, 73},
	{13, 0, 4, 69}, {13, 1, 4, 74}, {13, 2, 4, 78}, {13, 3, 4, 85},
}

// drums play from bar drumsIn up to bar drumsOut.
const drumsIn, drumsOut = 4, 12

// chordNotes is the electric piano: a chord on one, an answer on the and of two.
func chordNotes() []note {
	var notes []note
	for i, pair := range changes {
		start := float64(i) * bar
		for half, h := range pair {
			if half == 1 && h == pair[0] {
				continue
			}
			length := bar
			if pair[0] != pair[1] {
				length = bar / 2
			}
			for v, pitch := range h.upper {
				strum := float64(v) * .018
				notes = append(notes, note{start + float64(half)*2 + strum, length * .96, pitch, .52})
				if length == bar && i > 1 && i < len(changes)-1 {
					notes = append(notes, note{start + 2.5 + strum/2, 1.2, pitch, .3})
				}
			}
		}
	}
	return notes
}

// padNotes holds each chord's two middle voices.
func padNotes() []note {
	var notes []note
	for i, pair := range changes {
		for half, h := range pair {
			for _, pitch := range h.upper[1:3] {
				notes = append(notes, note{float64(i)*bar + float64(half)*2, 2.1, pitch, .5})
			}
		}
	}
	return notes
}

// bassNotes is root on one, its octave or fifth before three, a step into the
// next chord.
func bassNotes() []note {
	var notes []note
	for i, pair := range changes {
		start := float64(i) * bar
		last := i == len(changes)-1
		switch {
		case last:
			notes = append(notes, note{start, 5, pair[0].bass, .8})
		case i < 2:
			notes = append(notes, note{start, 3.6, pair[0].bass, .7})
		default:
			notes = append(notes,
				note{start, 1.6, pair[0].bass, .85},
				note{start + 2, .9, pair[1].bass, .7},
				note{start + 3, .45, pair[1].bass + 7, .5},
				note{start + 3.5, .45, changes[i+1][0].bass + 2, .45})
		}
	}
	return notes
}

// arpeggioNotes climbs and falls through each chord in eighths, an octave up.
func arpeggioNotes() []note {
	order := [...]int{0, 2, 1, 3, 2, 3, 1, 2}
	var notes []note
	for i, pair := range changes[:len(changes)-1] {
		for step, voice := range order {
			h := pair[step/4]
			velocity := .34
			if step%4 == 0 {
				velocity = .5
			}
			notes = append(notes, note{float64(i)*bar + swing(float64(step)/2), .5, h.upper[voice] + 12, velocity})
		}
	}
	return notes
}

// melodyNotes places the tune.
func melodyNotes() []note {
	notes := make([]note, len(melody))
	for i, m := range melody {
		velocity := .8
		if m.bar == len(changes)-1 {
			velocity = .55
		}
		notes[i] = note{float64(m.bar)*bar + swing(m.beat), m.length, m.pitch, velocity}
	}
	return notes
}

// swing delays every second eighth a little.
func swing(beat float64) float64 {
	if eighth := int(beat * 2); float64(eighth) == beat*2 && eighth%2 == 1 {
		return beat + .045
	}
	return beat
}
