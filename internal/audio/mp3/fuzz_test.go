package mp3

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"testing"
)

// seeds are composed frames of every version and kind, so that a fuzzer begins with what decodes. Run with
// -fuzzminimizetime=10x: making inputs smaller takes the fuzzer longer than finding them.
func seeds() [][]byte {
	var all [][]byte
	for i, mode := range []Mode{Mono, Stereo, Joint, Joint, Joint} {
		for version := MPEG1; version <= MPEG25; version++ {
			c := newComposer(uint64(i))
			c.version, c.rate, c.mode = version, i%3, mode
			if mode == Joint {
				c.ext = i - 1
			}
			c.bitrate = 4
			c.blocks, c.mixed, c.crc = []int{0, 1, 2, 3}, true, i%2 == 0
			all = append(all, c.stream(4))
		}
	}
	for version := MPEG1; version <= MPEG2; version++ {
		all = append(all, composeLayer1(rand.New(rand.NewPCG(1, 2)), version, 1, 4, Joint, 1, true, 4))
	}
	return all
}

// FuzzReader reads any bytes to their end and decodes what looks like frames.
func FuzzReader(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
		f.Add(append(id3v2(20), append(s, id3v1()...)...))
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		var d Decoder
		var buf [2 * MaxSamples]float32
		r := NewReader(bytes.NewReader(file))
		end := int64(0)
		for {
			fr, err := r.Next()
			if err != nil {
				break
			}
			if fr.Offset < end || !bytes.Equal(file[fr.Offset:fr.Offset+int64(len(fr.Data))], fr.Data) {
				t.Fatalf("frame of %d bytes at %d, behind %d", len(fr.Data), fr.Offset, end)
			}
			end = fr.Offset + int64(len(fr.Data))
			n, err := d.Decode(fr.Data, buf[:])
			if n != fr.Samples() && !errors.Is(err, ErrLayer) {
				t.Fatalf("%d samples of %d, %v", n, fr.Samples(), err)
			}
		}
	})
}

// FuzzDecode decodes a sound frame, then any bytes, then the sound frame again.
func FuzzDecode(f *testing.F) {
	all := seeds()
	for i, s := range all {
		f.Add(uint8(i), s[:len(s)/4])
	}
	f.Fuzz(func(t *testing.T, which uint8, b []byte) {
		s := all[int(which)%len(all)]
		sound := s[:len(s)/4]
		var d Decoder
		var buf [2 * MaxSamples]float32
		first, err := d.Decode(sound, buf[:])
		if err != nil {
			t.Fatal(err)
		}
		h, err := ParseHeader(b)
		n, errDecode := d.Decode(b, buf[:])
		switch {
		case err == nil && (h.Layer == 3 || h.Version != MPEG25):
			if n != h.Samples() {
				t.Fatalf("%d samples of %d, %v", n, h.Samples(), errDecode)
			}
		case n != 0 || errDecode == nil:
			t.Fatalf("%d samples, %v, of no frame", n, errDecode)
		}
		d.Reset()
		if again, err := d.Decode(sound, buf[:]); again != first || err != nil {
			t.Fatalf("the sound frame came out with %d samples, %v", again, err)
		}
	})
}
