package ogg

import (
	"bytes"
	"slices"
	"testing"
)

// elephant is a codec that forgets nothing but by Reset: a sample tells how many packets there were.
type elephant struct {
	n   int
	out [100]float32
}

func (*elephant) Rate() int     { return 8000 }
func (*elephant) Channels() int { return 1 }
func (e *elephant) Reset()      { e.n = 0 }
func (e *elephant) Decode(packet []byte) ([]float32, error) {
	e.n++
	for i := range e.out {
		e.out[i] = float32(e.n) + float32(packet[0])/256
	}
	return e.out[:], nil
}

func elephants(lead int64) Kind {
	return Kind{Magic: "elephant", Headers: 2, Comment: []byte("none"), Interval: 1000, Lead: lead,
		Open: func([][]byte) (Codec, error) { return &elephant{}, nil }}
}

// stream is 100 pages of one packet of 100 samples.
func stream() []byte {
	b := write(nil, begins, 0, 7, 0, []byte{8}, []byte("elephant"))
	b = write(b, 0, 0, 7, 1, []byte{255, 3}, make([]byte, 258)) // a comment
	for i := range 100 {
		flags := byte(0)
		if i == 99 {
			flags = ends
		}
		b = write(b, flags, int64(100*(i+1)), 7, uint32(2+i), []byte{1}, []byte{byte(i)})
	}
	return b
}

// Even of a codec that never forgets a seek hears what playing on does, since playing on begins anew too.
func TestSeekWithMemory(t *testing.T) {
	for _, lead := range []int64{200, 300, 1000} {
		b := stream()
		k := elephants(lead)
		_, s, err := ScanPages(t.Context(), bytes.NewReader(b), 0, int64(len(b)), []Kind{k})
		if err != nil {
			t.Fatal(err)
		}
		if s.Samples != 10000 || s.Cut || s.More || s.Damaged != 0 {
			t.Fatalf("%+v", s)
		}
		sealed := append(bytes.Clone(s.Header), b[s.Audio:s.End]...)
		r, err := Open(bytes.NewReader(sealed), int64(len(sealed)), s.Samples, s.Delay, s.Index, k)
		if err != nil {
			t.Fatal(err)
		}
		if len(r.entries) < 5 {
			t.Fatalf("%d entries", len(r.entries))
		}
		linear := make([]float32, 10000)
		if n, err := r.Read(linear); n != len(linear) || err != nil {
			t.Fatal(n, err)
		}
		buf := make([]float32, 250)
		for at := 0; at+250 <= 10000; at += 37 {
			r.SeekFrame(int64(at))
			if n, err := r.Read(buf); n != 250 || err != nil || !slices.Equal(buf, linear[at:at+250]) {
				t.Fatalf("lead %d: seek to %d: %d, %v, %v, want %v", lead, at, n, err, buf[0], linear[at])
			}
		}
	}
}
