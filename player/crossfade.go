package player

import (
	"math"

	"playnode/internal/audio"
	"playnode/manifests"
)

// crossfade lays one voice over another at equal power: the squares of both
// gains add up to 1, so that sounds that have nothing to do with each other
// are as loud in the middle as before and after. Where both could together
// exceed the ceiling, the middle is taken down by what the sealed true peaks
// say is needed, and no more.
type crossfade struct {
	begin, end int64 // places in the ring
	from, to   float32
	top        float32
}

func newCrossfade(begin, frames int64, from, to float32) crossfade {
	return crossfade{begin, begin + frames, from, to, max(ceiling, from, to)}
}

// mix writes a fading out and b fading in to dst, which begins at place at.
func (c crossfade) mix(dst, a, b []float32, at int64) {
	angle := math.Pi / 2 / float64(c.end-c.begin)
	for i := 0; i+1 < len(dst); i += Channels {
		sin, cos := math.Sincos(angle * (float64(at-c.begin) + 0.5))
		out, in := float32(cos), float32(sin)
		if p := c.from*out + c.to*in; p > c.top {
			out, in = out*c.top/p, in*c.top/p
		}
		dst[i] = a[i]*out + b[i]*in
		dst[i+1] = a[i+1]*out + b[i+1]*in
		at++
	}
}

// continuous tells whether b goes on where a ends, so that nothing may be
// laid over the join: the next track of the same side of the same album, of
// formats that keep their exact length.
func continuous(a, b *manifests.Info) bool {
	if a.Album == "" || a.Album != b.Album || a.Rate != b.Rate || a.Number == 0 {
		return false
	}
	next := a.Disc == b.Disc && b.Number == a.Number+1 || b.Disc == a.Disc+1 && b.Number == 1
	return next && exact(a) && exact(b)
}

// exact tells whether a track has neither silence nor loss at its ends that
// its maker did not mean. Of mp3 that is so where its encoder has said what
// to trim.
func exact(i *manifests.Info) bool {
	switch i.Codec {
	case audio.MP3, audio.MP2, audio.MP1:
		return i.Delay > 0
	}
	return true
}
