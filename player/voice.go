package player

import (
	"errors"

	"playnode/internal/audio/pcm"
	"playnode/internal/audio/resample"
)

// errLate says that a deck has not decoded what is to be heard next.
var errLate = errors.New("the deck is late")

// line is a stretch of sound of one rate on its way to the sink's: a track,
// or tracks that are joined and share a resampler's state.
type line struct {
	rs   *resample.Resampler // nil while rates are equal
	in   int                 // Hz
	base int64               // the place in the ring where it begins
	took int64               // frames of its own rate so far
}

// at is the place of its frame n.
func (l *line) at(n int64) int64 {
	if l.rs == nil {
		return l.base + n
	}
	return l.base + l.rs.Length(n)
}

// voice is a deck in the mix: two channels, its loudness, the sink's rate.
type voice struct {
	*deck
	gain float32
	peak float32 // of its samples, after the gain
	line *line
	own  line // what line may be

	begin, end int64 // places of its first frame, and after its last if it is whole
	out        int64 // place where it is not heard any more, if it is crossfaded
	cut        bool  // it is left before its end

	pcm       []float32 // a block of the deck's, in stereo
	off, have int       // frames in it: used, and in all
	over      error     // why the deck has no more
}

func newVoice(d *deck, gain float32) *voice {
	return &voice{deck: d, gain: gain, peak: peak(d.info.Loudness, gain), pcm: make([]float32, blockFrames*Channels)}
}

// enter puts the voice on a line, behind what is there.
func (v *voice) enter(l *line) {
	v.line, v.begin, v.end = l, l.at(l.took), l.at(l.took+v.frames)
	v.out = v.end
	if _, to := v.item.bounds(v.info, v.from+v.frames); to > v.from {
		v.out = l.at(l.took + to - v.from)
	}
}

// drop leaves out the next n frames, before the voice is in the mix, and
// tells whether they were all decoded; else it wants to be called again. A
// deck that has no more is where it can be.
func (v *voice) drop(n int64) bool {
	for n > 0 {
		if k := min(n, int64(v.have-v.off)); k > 0 {
			v.off, n = v.off+int(k), n-k
			v.from, v.frames = v.from+k, v.frames-k
			continue
		}
		if v.over != nil {
			return true
		}
		select {
		case b := <-v.full:
			v.take(b)
		default:
			return false
		}
	}
	return true
}

// plain tells whether its samples pass as they are.
func (v *voice) plain() bool { return v.gain == 1 && v.line.rs == nil && v.format.Channels <= Channels }

// take has a block of the deck's.
func (v *voice) take(b *block) {
	pcm.Stereo(v.pcm[:b.frames*Channels], b.samples[:b.frames*v.format.Channels], v.format.Channels)
	if v.gain != 1 {
		for i := range v.pcm[:b.frames*Channels] {
			v.pcm[i] *= v.gain
		}
	}
	v.off, v.have, v.over = 0, b.frames, b.err
	v.free <- b
}

// read writes frames at the sink's rate to dst, until it is full, the deck is
// late (errLate) or has no more: io.EOF, or what is wrong with it.
func (v *voice) read(dst []float32) (n int, err error) {
	for n*Channels < len(dst) {
		if v.off < v.have {
			src := v.pcm[v.off*Channels : v.have*Channels]
			var wrote, took int
			if rs := v.line.rs; rs == nil {
				took = copy(dst[n*Channels:], src) / Channels
				wrote = took
			} else {
				wrote, took = rs.Process(dst[n*Channels:], src)
			}
			n += wrote
			v.off += took
			v.line.took += int64(took)
			continue
		}
		if v.over != nil {
			return n, v.over
		}
		select {
		case b := <-v.full:
			v.take(b)
		default:
			return n, errLate
		}
	}
	return n, nil
}
