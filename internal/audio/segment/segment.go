// Package segment cuts a live stream into segments at its container's own bounds.
//
// What comes in: one encoded stream, as a DJ's program sends it or a file holds it, hostile. What it is
// is told by its bytes, never by what somebody says of it. What goes out: segments whose bytes are the
// stream's own, with their place in its time. Nothing is decoded for the listener, and nothing encoded:
// Init and the Media of a run, one behind the other, are the stream again (see Segment). Video is carried
// as it comes.
//
// What is trusted: nothing. Memory is bounded by a segment, an init and a frame or box, whatever lengths
// the stream claims. A Segmenter starts no goroutine; it waits only in its reader's Read, so who wants to
// stop it, makes that fail. How a stream was split into reads changes nothing of its segments.
package segment

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Format is what a stream is.
type Format string

// The formats. MP3 is MPEG audio of any layer.
const (
	MP3     Format = "mp3"
	ADTS    Format = "aac" // AAC in ADTS
	Opus    Format = "ogg/opus"
	Vorbis  Format = "ogg/vorbis"
	OggFLAC Format = "ogg/flac"
	FLAC    Format = "flac"
	TS      Format = "mpegts"
	MP4     Format = "mp4"  // fragmented, CMAF
	WebM    Format = "webm" // and Matroska
)

const (
	// MaxInit and MaxMedia bound a segment's Init and Media in bytes: with a seal around them they fit a
	// block of 1 MiB.
	MaxInit  = 64 << 10
	MaxMedia = 704 << 10

	// DefaultTarget is how long a segment should be.
	DefaultTarget = time.Second

	// junk is how many bytes in a row may belong to nothing, before a stream is given up.
	junk = 1 << 20
	// patience is how many bytes of what only looked like pages or frames are looked at more closely.
	patience = 64 << 20
	// longestJump is how far a stream's own clock may jump, in seconds, and be believed.
	longestJump = 60
)

var (
	// ErrUnknown says that the bytes are no stream that is cut here; the text tells what was seen.
	ErrUnknown = errors.New("unknown stream")
	// ErrDamaged says that a stream cannot be followed any more.
	ErrDamaged = errors.New("damaged stream")
	// ErrTooLong says that a part which cannot be cut is longer than a segment may be.
	ErrTooLong = errors.New("too long for a segment")
)

// Segment is a stretch of a stream. Its slices are the caller's own.
//
// A run is a Segment that Begins and those behind it up to the next that does. Init and the Media of all
// of a run are, one behind the other, a stream that ordinary players take. So are Init and the Media from
// any Independent segment of the run on.
type Segment struct {
	Format Format
	// Begins says that a run begins: decoders begin anew, with Init. It is so of the first segment, and
	// where what the stream is, its headers or its parameters have changed.
	Begins bool
	// Init is what a decoder reads before any Media of the run. It is set only where a run Begins, and
	// is empty there for a format that has none (mp3, ADTS).
	Init []byte
	// Title is what the stream itself says that is heard, from where a run Begins: "" where it says nothing.
	Title string
	// Media is one or more whole frames, pages, packets or boxes; where Independent is false it may begin
	// or the segment before may end within one.
	Media []byte
	// At is where the segment begins and Length how long it lasts, in ticks of 1/Rate s. At is 0 for the
	// first segment; the next one's is At + Length, and later where something is missing. Where Rate
	// changes, At goes on in the new ticks.
	At, Length int64
	Rate       int
	// Independent says that a decoder can begin here; Lead, for how many ticks from At on it will not yet
	// be as one that has come from before. Where it can never tell (Opus), Lead is what its standard asks for.
	Independent bool
	Lead        int64
	// Gap says that between the segment before and this one something was lost or thrown away.
	Gap bool
}

// Start is At as a duration.
func (s Segment) Start() time.Duration { return ticks(s.At, s.Rate) }

// Duration is Length as a duration.
func (s Segment) Duration() time.Duration { return ticks(s.Length, s.Rate) }

func ticks(n int64, rate int) time.Duration {
	r := int64(max(1, rate))
	return time.Duration(n/r)*time.Second + time.Duration(n%r)*time.Second/time.Duration(r)
}

// Config changes how a stream is cut. The zero value is what everyone wants.
type Config struct {
	// Target is how long a segment should be; 0 means DefaultTarget. It is the nearest number of frames.
	// Where a decoder cannot begin everywhere (video), a segment is longer, at most twice as long, until
	// it can.
	Target time.Duration
	// MaxMedia bounds Media in bytes; 0 means, and it is at most, MaxMedia.
	MaxMedia int
}

// Segmenter cuts one stream. It must not be used by two goroutines at once.
type Segmenter struct {
	in     *input
	parser parser
	target time.Duration
	most   int

	run   run
	begin bool // the next segment begins the run
	gap   bool // and comes after a gap
	shift int64

	pending Segment
	units   int   // in pending
	end     int64 // where pending ends, or what was handed out last
	last    int   // bytes of its last unit
	lastAt  int64 // where that begins
	warm    warmth

	ready []Segment
	err   error
}

// parser reads a stream of one format.
type parser interface {
	// next returns the next unit. Its data is valid until the next call. After an error it is not called
	// again.
	next() (unit, error)
}

// run is what stays the same from where decoders begin anew.
type run struct {
	format Format
	init   []byte
	title  string
	rate   int
	// lead is what a decoder needs that begins within the run, in ticks; warm, where not 0, by how many
	// units that decode whole (see warmth).
	lead int64
	warm int
}

// unit is the least part of a stream that is told apart.
type unit struct {
	run  *run // where a new one begins with this unit
	gap  bool // something before it was lost
	undo bool // the unit before it was none
	data []byte
	// at and end are where it begins and ends, in ticks of the run, from any origin.
	at, end int64
	start   bool // a decoder can begin with it
	sure    bool // and will be able to with whatever comes next
	// needs is how many bytes of earlier units it decodes from, gives how many bytes it has for later ones.
	needs, gives int
}

// New returns a Segmenter of r.
func New(r io.Reader, c Config) *Segmenter {
	s := &Segmenter{in: newInput(r), target: c.Target, most: c.MaxMedia}
	if s.target <= 0 {
		s.target = DefaultTarget
	}
	if s.most <= 0 || s.most > MaxMedia {
		s.most = MaxMedia
	}
	return s
}

// Next returns the next segment as soon as its last frame is whole. After the last one, which is whatever
// was whole by then, the error is io.EOF, or the reader's own, or wraps ErrUnknown, ErrDamaged or
// ErrTooLong; it stays.
func (s *Segmenter) Next() (Segment, error) {
	for len(s.ready) == 0 {
		if s.err != nil {
			return Segment{}, s.err
		}
		if err := s.step(); err != nil {
			s.close(s.end)
			s.err = err
		}
	}
	first := s.ready[0]
	s.ready = s.ready[1:]
	return first, nil
}

func (s *Segmenter) step() error {
	if s.parser == nil {
		p, err := sniff(s.in, s.most)
		if err != nil {
			return err
		}
		s.parser = p
	}
	u, err := s.parser.next()
	if err != nil {
		return err
	}
	if len(u.data) > s.most {
		f := s.run.format
		if u.run != nil {
			f = u.run.format
		}
		return fmt.Errorf("cut %s: %w: %d bytes in one, of %d", f, ErrTooLong, len(u.data), s.most)
	}
	s.take(u)
	return nil
}

// goal is the target in ticks.
func (s *Segmenter) goal() int64 {
	return int64(s.target/time.Microsecond) * int64(s.run.rate) / 1e6
}

// take puts one unit behind what is pending, and hands out what is long enough.
func (s *Segmenter) take(u unit) {
	if u.undo && s.units > 0 {
		s.pending.Media = s.pending.Media[:len(s.pending.Media)-s.last]
		s.end = s.lastAt
		s.units--
	}
	if u.run != nil || u.gap {
		s.close(s.end)
		s.gap = s.gap || u.gap
	}
	if u.run != nil {
		if s.run.rate > 0 {
			s.end = rescale(s.end, s.run.rate, u.run.rate)
		}
		s.run, s.begin, s.shift = *u.run, true, s.end-u.at
	}
	at, end := u.at+s.shift, u.end+s.shift
	if jump := at - s.end; jump < 0 || jump > longestJump*int64(s.run.rate) {
		s.shift -= jump // a clock that was set
		at, end = at-jump, end-jump
	}
	if s.units > 0 {
		long := at - s.pending.At
		switch {
		case u.start && long+(at-s.lastAt)/2 >= s.goal(), long >= 2*s.goal(), len(s.pending.Media)+len(u.data) > s.most:
			s.close(at)
		}
	}
	if s.units == 0 {
		s.open(at, u.start)
	}
	s.pending.Media = append(s.pending.Media, u.data...)
	s.units++
	s.last, s.lastAt, s.end = len(u.data), at, end
	s.warm.take(u, at-s.pending.At, s.run.warm)
	if u.sure && end-s.pending.At+(end-at)/2 >= s.goal() {
		s.close(end)
	}
}

func (s *Segmenter) open(at int64, start bool) {
	r := &s.run
	s.pending = Segment{Format: r.format, At: at, Rate: r.rate, Independent: start, Gap: s.gap}
	if s.begin {
		s.pending.Begins, s.pending.Init, s.pending.Title = true, r.init, r.title
	}
	s.begin, s.gap = false, false
	s.warm = warmth{}
}

// close hands out what is pending, as a segment that ends at end.
func (s *Segmenter) close(end int64) {
	if s.units == 0 {
		return
	}
	s.pending.Length, s.end = end-s.pending.At, end
	switch {
	case !s.pending.Independent:
	case s.run.warm > 0:
		s.pending.Lead = s.warm.lead(s.pending.Length)
	default:
		s.pending.Lead = min(s.run.lead, s.pending.Length)
	}
	s.ready = append(s.ready, s.pending)
	s.pending, s.units = Segment{}, 0
}

// warmth finds out from which unit of a segment on a decoder that began with it is as one that did not:
// that unit decodes whole, and so do some before it. What earlier units give may be taken from anywhere
// in the segment: a bit reservoir's reach is short.
type warmth struct {
	room  int // bytes that the units so far give
	whole int // units in a row that decode whole
	ready bool
	at    int64
}

func (w *warmth) take(u unit, at int64, warm int) {
	if u.needs > w.room {
		w.whole, w.ready = 0, false
	} else {
		if !w.ready && w.whole >= warm {
			w.ready, w.at = true, at
		}
		w.whole++
	}
	w.room += u.gives
}

func (w *warmth) lead(length int64) int64 {
	if !w.ready {
		return length
	}
	return w.at
}

// rescale turns ticks of one rate into those of another, rounded up.
func rescale(n int64, from, to int) int64 {
	if from == to || from <= 0 {
		return n
	}
	f, t := int64(from), int64(to)
	return n/f*t + (n%f*t+f-1)/f
}
