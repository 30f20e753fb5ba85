// Package audiotest is the kit that every audio.Decoder passes, and the sound to try them on.
//
// What comes in: a track and its sealed bytes. What goes out: failed tests. Nothing is trusted.
package audiotest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/cmplx"
	"math/rand/v2"
	"slices"
	"testing"

	"go.uber.org/goleak"

	"playnode/internal/audio"
)

// Decoder checks on one whole track what audio.Decoder promises. data is what was sealed.
func Decoder(t *testing.T, data []byte, track audio.Track, opt audio.Options) {
	t.Helper()
	defer goleak.VerifyNone(t)
	open := func(t *testing.T, r io.ReaderAt, size int64) audio.Decoder {
		t.Helper()
		d, err := audio.Open(r, size, track, opt)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	linear := readAll(t, open(t, bytes.NewReader(data), int64(len(data))), track.Channels, 4096)

	t.Run("length", func(t *testing.T) {
		d := open(t, bytes.NewReader(data), int64(len(data)))
		if f := d.Format(); f.Rate != track.Rate || f.Channels != track.Channels {
			t.Errorf("format %+v", f)
		}
		if d.Len() != track.Samples || int64(len(linear)) != track.Samples*int64(track.Channels) {
			t.Fatalf("Len %d, %d decoded, want %d", d.Len(), len(linear)/track.Channels, track.Samples)
		}
		if n, err := d.Read(make([]float32, track.Channels)); n != min(1, int(track.Samples)) || err != nil && err != io.EOF {
			t.Errorf("Read of one frame: %d, %v", n, err)
		}
		for _, size := range []int{1, 7, 1152, 100000} {
			if !slices.Equal(readAll(t, open(t, bytes.NewReader(data), int64(len(data))), track.Channels, size), linear) {
				t.Errorf("reading %d frames at a time gives other samples", size)
			}
		}
	})
	t.Run("seek", func(t *testing.T) {
		d := open(t, bytes.NewReader(data), int64(len(data)))
		rnd := rand.New(rand.NewPCG(1, 2))
		at := []int64{0, 1, 575, 576, 577, 1151, 1152, 1153, 4095, 4096, track.Samples / 2, track.Samples - 1, track.Samples, 0}
		for range 24 {
			at = append(at, rnd.Int64N(track.Samples+1))
		}
		buf := make([]float32, 3000*track.Channels)
		for _, p := range at {
			if p < 0 || p > track.Samples {
				continue
			}
			if err := d.SeekFrame(p); err != nil {
				t.Fatal(err)
			}
			n, err := full(d, buf, track.Channels)
			if err != nil && err != io.EOF {
				t.Fatal(err)
			}
			want := linear[p*int64(track.Channels):]
			want = want[:min(len(want), len(buf))]
			if i := differ(buf[:n*track.Channels], want); i >= 0 {
				t.Fatalf("seek to %d: sample %d of %d differs from linear decoding", p, i, len(want))
			}
		}
	})
	t.Run("truncated", func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(3, 4))
		for i := range 10 {
			n := rnd.IntN(len(data))
			if i < 3 {
				n = []int{0, 1, len(data) - 1}[i]
			}
			contained(t, data[:n], track, opt)
		}
	})
	t.Run("damaged", func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(5, 6))
		for i := range 12 {
			bad := bytes.Clone(data)
			for range 1 + i*i*2 {
				bad[rnd.IntN(len(bad))] ^= byte(1 + rnd.IntN(255))
			}
			contained(t, bad, track, opt)
		}
		noise := make([]byte, len(data))
		for i := range noise {
			noise[i] = byte(rnd.Uint32())
		}
		contained(t, noise, track, opt)
		contained(t, make([]byte, len(data)), track, opt)
	})
	t.Run("cancelled", func(t *testing.T) {
		ctx, cancel := context.WithCancel(context.Background())
		r := &reader{data: data, ctx: ctx}
		d := open(t, r, int64(len(data)))
		buf := make([]float32, 1000*track.Channels)
		got, err := d.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		head := slices.Clone(buf[:got*track.Channels])
		cancel()
		for err == nil { // what is buffered may still come
			got, err = d.Read(buf)
			head = append(head, buf[:got*track.Channels]...)
		}
		if err != io.EOF && !errors.Is(err, context.Canceled) {
			t.Fatalf("a cancelled read says %v", err)
		}
		// The reader recovers: what follows is as if nothing had been.
		r.ctx = context.Background()
		if rest := append(head, readAll(t, d, track.Channels, 1000)...); !slices.Equal(rest, linear) {
			t.Error("after an error the sound goes on wrong")
		}
	})
	t.Run("closed", func(t *testing.T) {
		d := open(t, bytes.NewReader(data), int64(len(data)))
		if err := d.Close(); err != nil {
			t.Fatal(err)
		}
		if n, err := d.Read(make([]float32, 10*track.Channels)); n != 0 || err == nil {
			t.Errorf("reading after Close gives %d, %v", n, err)
		}
	})
	t.Run("hostile track", func(t *testing.T) {
		rnd := rand.New(rand.NewPCG(7, 8))
		for range 24 {
			x := track
			x.Index = bytes.Clone(track.Index)
			for range 1 + rnd.IntN(4) {
				switch rnd.IntN(6) {
				case 0:
					if len(x.Index) > 0 {
						x.Index[rnd.IntN(len(x.Index))] ^= byte(1 + rnd.IntN(255))
					}
				case 1:
					x.Samples += rnd.Int64N(1<<20) - 1<<19
				case 2:
					x.Delay = rnd.IntN(5000) - 100
				case 3:
					x.SamplesPerFrame = []int{0, -1, 576, 1152, 1 << 30}[rnd.IntN(5)]
				case 4:
					x.Channels = rnd.IntN(11) - 1
				case 5:
					x.Index = x.Index[:rnd.IntN(len(x.Index)+1)]
				}
			}
			contained(t, data, x, opt)
		}
	})
}

// contained decodes bytes that may be bad: to the end, or an error that says damage, never more than
// was promised, never what is not a number, and no seek leads out.
func contained(t *testing.T, data []byte, track audio.Track, opt audio.Options) {
	t.Helper()
	d, err := audio.Open(bytes.NewReader(data), int64(len(data)), track, opt)
	if err != nil {
		if !errors.Is(err, audio.ErrDamaged) && !errors.Is(err, audio.ErrUnsupported) {
			t.Errorf("open says %v", err)
		}
		return
	}
	defer d.Close()
	buf := make([]float32, 2000*track.Channels)
	var total int64
	for _, from := range []int64{0, track.Samples / 2} {
		if err := d.SeekFrame(from); err != nil {
			t.Errorf("seek says %v", err)
		}
		total = from
		for {
			n, err := d.Read(buf)
			for _, v := range buf[:n*track.Channels] {
				if v != v || math.IsInf(float64(v), 0) {
					t.Fatal("a sample is no number")
				}
			}
			total += int64(n)
			if err == io.EOF && total != track.Samples {
				t.Fatalf("ends well after %d of %d", total, track.Samples)
			}
			if err != nil {
				if err != io.EOF && !errors.Is(err, audio.ErrDamaged) {
					t.Fatalf("damage says %v", err)
				}
				break
			}
			if total > track.Samples || n == 0 {
				t.Fatalf("%d frames of %d, %d at a time", total, track.Samples, n)
			}
		}
	}
}

// reader fails when its context has ended.
type reader struct {
	data []byte
	ctx  context.Context
}

func (r *reader) ReadAt(b []byte, off int64) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return bytes.NewReader(r.data).ReadAt(b, off)
}

func full(d audio.Decoder, buf []float32, channels int) (n int, err error) {
	for n*channels < len(buf) && err == nil {
		var m int
		m, err = d.Read(buf[n*channels:])
		n += m
	}
	return n, err
}

func readAll(t *testing.T, d audio.Decoder, channels, frames int) (out []float32) {
	t.Helper()
	buf := make([]float32, frames*channels)
	for {
		n, err := d.Read(buf)
		out = append(out, buf[:n*channels]...)
		if err == io.EOF {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// ReadAll decodes a track to its end and closes d.
func ReadAll(t *testing.T, d audio.Decoder) []float32 {
	t.Helper()
	defer d.Close()
	return readAll(t, d, d.Format().Channels, 4096)
}

func differ(a, b []float32) int {
	for i := range a {
		if i >= len(b) || a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return len(a)
	}
	return -1
}

// Music renders a piece that codecs have to work for: chords, a bass, drums, and a swell, quantised to
// 16 bits, between ±0.9. The same arguments give the same samples.
func Music(rate, channels, frames int, seed uint64) []float32 {
	rnd := rand.New(rand.NewPCG(seed, 99))
	out := make([]float32, frames*channels)
	at := func(hz, phase float64) osc { return newOsc(hz, phase, rate) }
	bass := at(55, 0)
	var chord [4][8]osc
	var swell [8]osc
	for c := range channels {
		swell[c] = at(0.9/(2*math.Pi), float64(c))
		for k, hz := range []float64{220, 277.18, 329.63, 415.3} {
			chord[k][c] = at(hz*(1+0.001*float64(c)), float64(k))
		}
	}
	var noise, drum, low float64
	fade, slow := math.Exp(-40/float64(rate)), math.Exp(-4/float64(rate))
	for i := range frames {
		if i%(rate/2) == 0 {
			drum, low = 1, 1
		}
		drum, low = drum*fade, low*slow
		if rnd.IntN(2) == 0 {
			noise = rnd.Float64()*2 - 1
		}
		beat := 0.3*noise*drum + 0.25*bass.next()*low
		for c := range channels {
			v, loud := beat, 0.09*(1+swell[c].next())
			for k := range chord {
				v += loud * chord[k][c].next()
			}
			v = max(-0.9, min(0.9, v))
			out[i*channels+c] = float32(math.Round(v*32767)) / 32768
		}
	}
	return out
}

// osc is a sine that turns by one multiplication a sample.
type osc struct{ now, turn complex128 }

func newOsc(hz, phase float64, rate int) osc {
	return osc{cmplx.Rect(1, phase), cmplx.Rect(1, 2*math.Pi*hz/float64(rate))}
}

func (o *osc) next() float64 {
	v := imag(o.now)
	o.now *= o.turn
	return v
}

// String names a track in a test.
func String(t audio.Track) string {
	return fmt.Sprintf("%s %d Hz %d channels", t.Codec, t.Rate, t.Channels)
}
