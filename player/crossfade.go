package player

import (
	"math"
	"time"

	"playnode/internal/audio"
	"playnode/manifests"
)

const (
	// shortest is the shortest crossfade.
	shortest = 100 * time.Millisecond
	// readyBefore is how long before a crossfade the next deck is brought to
	// where it begins to be heard.
	readyBefore = 10 * time.Second
	// mostSilence bounds what is left out at a track's ends without its DJ
	// having said so: more of it is music that is quiet.
	mostSilence = 10 * time.Second
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

// fade is how long b is laid over a: what was asked for, or what both their
// playlists want.
func (r *Request) fade(a, b item) time.Duration {
	if !r.Mixed {
		return r.Crossfade
	}
	if a.mixing == nil || b.mixing == nil {
		return 0
	}
	return time.Duration(min(a.mixing.Fade, b.mixing.Fade)) * time.Millisecond
}

// bounds is what is heard of a track of so many frames where it is
// crossfaded: what its DJ's cue says, and where that says nothing, all but
// silence. A cue that is not within the track counts as none.
func (it item) bounds(info *manifests.Info, frames int64) (from, to int64) {
	from, to = sounding(info, frames)
	if it.mixing != nil {
		q := it.mixing.Cues[it.entry.Track]
		if q.In != nil && *q.In < frames {
			from = *q.In
		}
		if q.Out != nil && *q.Out <= frames {
			to = *q.Out
		}
	}
	if from < 0 || from >= to {
		return 0, frames
	}
	return from, to
}

// sounding is where a track's sound begins and ends, as far as its waveform
// tells: buckets in which no sample reaches -48 dBFS are silent.
func sounding(info *manifests.Info, frames int64) (from, to int64) {
	n := int64(len(info.Waveform) / 3)
	silent := func(b int64) bool { w := info.Waveform[3*b:]; return w[0] == 0 && w[1] == 0 && w[2] == 0 }
	first, last := int64(0), n
	for first < last && silent(first) {
		first++
	}
	for last > first && silent(last-1) {
		last--
	}
	if first == last || frames > math.MaxInt64/n {
		return 0, frames
	}
	most := int64(mostSilence.Seconds() * float64(info.Rate))
	return min(first*frames/n, most), max(last*frames/n, frames-most)
}

// fadeLength is how long the next track is laid over this one, in frames; 0
// for not at all, or while that cannot be said.
func (b *Playback) fadeLength() int64 {
	if b.mix.in != nil || b.mix.out || b.mix.owed != nil || len(b.lined) == 0 {
		return 0
	}
	cur, o := b.mix.cur, b.lined[0]
	fade := b.req.fade(cur.item, o.item)
	if fade <= 0 || !o.ready() || o.err != nil || continuous(cur.info, o.deck.info) {
		return 0
	}
	heard := func(d *deck) int64 {
		from, to := d.item.bounds(d.info, d.from+d.frames)
		if to = to - max(from, d.from); to <= 0 {
			to = d.frames
		}
		return to * int64(b.mix.rate) / int64(d.format.Rate)
	}
	return min(b.frames(fade), heard(cur.deck)/2, heard(o.deck)/2)
}

// frames is a time, at the sink's rate.
func (b *Playback) frames(d time.Duration) int64 { return int64(d.Seconds() * float64(b.mix.rate)) }

// crossing brings the next deck to where it begins to be heard, and begins
// the crossfade when it is time; if it could not then, as soon as it can.
func (b *Playback) crossing() error {
	want := b.fadeLength()
	if want == 0 {
		return nil
	}
	cur, o := b.mix.cur, b.lined[0]
	if cur.out-b.mix.sent > want+b.frames(readyBefore) || !o.cue() {
		return nil
	}
	n := min(want, cur.end-b.mix.sent)
	if cur.out-b.mix.sent > want || n < b.frames(shortest) || !b.admit(o) {
		return nil
	}
	v := o.voice()
	b.outgo = cur
	if err := b.mix.cross(v, n); err != nil {
		return err
	}
	b.joined = true
	b.take(o, v)
	return nil
}

// hold tells whether mixing waits for the next deck, which is to be laid over
// this one from here on: as long as it likes for a file, for a loudspeaker
// while the ring is half full.
func (b *Playback) hold() bool {
	if b.mix.in != nil || len(b.lined) == 0 {
		return false
	}
	cur, o := b.mix.cur, b.lined[0]
	fade := b.req.fade(cur.item, o.item)
	if fade <= 0 || o.ready() && (b.fadeLength() == 0 || o.cued) {
		return false
	}
	if t := b.sound.Load(); t.card && int64(b.ring.held()) < b.ring.mask/4 {
		return false
	}
	return cur.out-b.mix.sent <= b.frames(fade)+blockFrames
}

// untilFade is how many frames may be mixed before a crossfade must be
// thought of again.
func (b *Playback) untilFade() int {
	n := blockFrames
	if want := b.fadeLength(); want > 0 {
		if left := b.mix.cur.out - b.mix.sent - want; left > 0 {
			n = int(min(int64(n), left))
		}
	}
	return n
}
