package player

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"playnode/internal/audio"
	"playnode/manifests"
)

// steady is a decoder that allocates nothing.
type steady struct {
	format audio.Format
	left   int64
}

func (d *steady) Format() audio.Format  { return d.format }
func (d *steady) Len() int64            { return d.left }
func (d *steady) SeekFrame(int64) error { return nil }
func (d *steady) Close() error          { return nil }

func (d *steady) Read(dst []float32) (int, error) {
	n := min(int64(len(dst)/d.format.Channels), d.left)
	for i := range dst[:n*int64(d.format.Channels)] {
		dst[i] = 0.1
	}
	if d.left -= n; n == 0 {
		return 0, io.EOF
	}
	return int(n), nil
}

// path is all that a sample goes through, from decks to a sink.
type path struct {
	mix   *mix
	tr    *transport
	out   *outlet
	buf   []float32
	turns int
}

// move mixes a little, and hands it to the sink, now and then at another volume.
func (p *path) move(most int64) error {
	n, err := p.mix.read(p.buf[:min(most, blockFrames)*Channels])
	for at := 0; at < n; {
		at += p.tr.ring.write(p.buf[at*Channels:n*Channels], p.mix.plain)
		for p.tr.ring.held() > 0 {
			if p.turns++; p.turns%7 == 0 {
				p.tr.setVolume(float32(p.turns%3) / 2)
			}
			if _, err := p.tr.step(context.Background(), p.out); err != nil {
				return err
			}
		}
	}
	if err == errLate {
		for _, v := range []*voice{p.mix.cur, p.mix.in} {
			if v != nil && v.off == v.have && v.over == nil {
				v.take(<-v.full)
			}
		}
		err = nil
	}
	return err
}

// play plays voices one after the other, those that cross says over the end of the one before.
func (p *path) play(t *testing.T, voices []*voice, cross []bool, fade int64) {
	for i, v := range voices {
		if !cross[i] {
			if err := p.mix.join(v); err != nil {
				t.Fatal(err)
			}
		}
		for {
			left := int64(blockFrames)
			if i+1 < len(voices) && cross[i+1] && p.mix.in == nil && p.mix.owed == nil {
				if left = v.end - fade - p.mix.sent; left <= 0 {
					if err := p.mix.cross(voices[i+1], fade); err != nil {
						t.Fatal(err)
					}
					left = blockFrames
				}
			}
			if err := p.move(left); errors.Is(err, io.EOF) || err == errCrossed {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	for n := p.mix.finish(p.buf); n > 0; n = p.mix.finish(p.buf) {
		p.tr.ring.write(p.buf[:n*Channels], false)
		if _, err := p.tr.step(context.Background(), p.out); err != nil {
			t.Fatal(err)
		}
	}
}

// From the decks to the sink's write nothing allocates, in the mix or behind it: not within tracks, not at joins of equal
// and of other rates, not through crossfades, not where volume changes and dither is added.
func TestTheSamplePathAllocatesNothing(t *testing.T) {
	const fade = 9_000
	plan := []struct {
		rate, channels int
		cross          bool
		gain           float32
	}{{44100, 2, false, 1}, {44100, 1, false, 0.5}, {48000, 2, false, 1}, {44100, 2, true, 0.7}, {48000, 2, true, 1}, {96000, 2, false, 1}, {44100, 2, false, 1}}
	// Two rounds: the first makes what is kept, as resamplers.
	voices := func() (out []*voice) {
		for _, x := range plan {
			f := audio.Format{Rate: x.rate, Channels: x.channels}
			ctx, cancel := context.WithCancel(t.Context())
			d := startDeck(ctx, cancel, item{entry: &manifests.Entry{}}, &manifests.Info{}, &steady{f, 40_000}, 0)
			t.Cleanup(d.close)
			out = append(out, newVoice(d, x.gain))
		}
		return out
	}
	var cross []bool
	for _, x := range plan {
		cross = append(cross, x.cross)
	}
	dir := t.TempDir()
	for _, spec := range []sinkSpec{{"raw", os.DevNull}, {"wav", filepath.Join(dir, "out.wav")}, {"null", ""}} {
		want := sinkWant{rate: 44100, paced: spec.kind == "null", latency: time.Hour, expect: -1}
		sink, err := spec.open(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		p := &path{
			mix: newMix(44100), tr: newTransport(newRing(1<<14), 44100, spec.kind == "null", 1),
			out: newOutlet(spec, want, nil), buf: make([]float32, blockFrames*Channels),
		}
		p.tr.sink = sink
		n := 1.0
		for try := 0; n > 0 && try < 3; try++ { // what the runtime allocates beside it, it does not do every time
			rounds := [][]*voice{voices(), voices()}
			n = testing.AllocsPerRun(1, func() {
				p.play(t, rounds[0], cross, fade)
				rounds = rounds[1:]
			})
		}
		if frames := p.tr.ring.wrote.Load(); frames < 2*200_000 {
			t.Fatalf("%s: only %d frames", spec, frames)
		}
		if n != 0 {
			t.Errorf("%s: %.0f allocations in a round of seven tracks", spec, n)
		}
		if err := sink.Close(); err != nil {
			t.Error(err)
		}
	}
}
