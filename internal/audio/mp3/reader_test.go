package mp3

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// readAll returns the frames of r, the offsets checked against file, and the error that ended them.
func readAll(t *testing.T, r *Reader, file []byte) (all [][]byte, err error) {
	t.Helper()
	for {
		f, err := r.Next()
		if err != nil {
			return all, err
		}
		if !bytes.Equal(file[f.Offset:f.Offset+int64(len(f.Data))], f.Data) {
			t.Fatalf("frame %d is not at %d", len(all), f.Offset)
		}
		all = append(all, bytes.Clone(f.Data))
	}
}

// id3v2 is a tag of n bytes of text behind its header.
func id3v2(n int) []byte {
	b := append([]byte("ID3\x04\x00\x00"), byte(n>>21&127), byte(n>>14&127), byte(n>>7&127), byte(n&127))
	return append(b, bytes.Repeat([]byte{0xff, 0xfb, 0x90, 0x64}, n/4+1)[:n]...) // as like frames as can be
}

func id3v1() []byte { return append([]byte("TAG"), make([]byte, 125)...) }

// apev2 is a tag with header and footer and n bytes between.
func apev2(n int) []byte {
	end := append([]byte("APETAGEX\xd0\x07\x00\x00"), byte(n+32), byte((n+32)>>8), 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xa0)
	end = append(end, make([]byte, 8)...)
	b := append(bytes.Clone(end), bytes.Repeat([]byte{0xff, 0xfb, 0x90, 0x64}, n/4+1)[:n]...)
	end[23] = 0x80
	return append(b, end...)
}

func TestReader(t *testing.T) {
	for i, args := range kinds {
		music := lame(t, shortPiece(uint64(20+i)), append(args, "-t")...)
		want, err := readAll(t, NewReader(bytes.NewReader(music)), music)
		if !errors.Is(err, io.EOF) || len(want) < 25 || !bytes.Equal(bytes.Join(want, nil), music) {
			t.Fatalf("%v: %d frames of %d bytes, %v", args, len(want), len(music), err)
		}
		rng := rand.New(rand.NewPCG(uint64(i), 7))
		noise := make([]byte, 70000)
		for i := range noise {
			noise[i] = byte(rng.IntN(255)) // never 0xff: a chance header is TestDamage's business
		}
		half := len(bytes.Join(want[:len(want)/2], nil))
		for _, c := range []struct {
			name          string
			before, after []byte
			middle        []byte
		}{
			{"bare", nil, nil, nil},
			{"ID3v2", id3v2(100000), nil, nil},
			{"two ID3v2", append(id3v2(10), id3v2(5000)...), nil, nil},
			{"ID3v1", nil, id3v1(), nil},
			{"APEv2 and ID3v1", nil, append(apev2(4000), id3v1()...), nil},
			{"APEv2 before", apev2(9000), nil, nil},
			{"noise", noise, noise, noise},
			{"zeros", make([]byte, 1<<18), make([]byte, 9), make([]byte, 3)},
			{"ID3v2 within", nil, nil, id3v2(3000)},
			{"a frame's beginning behind", nil, want[3][:len(want[3])-1], nil},
		} {
			file := bytes.Join([][]byte{c.before, music[:half], c.middle, music[half:], c.after}, nil)
			for _, stream := range []struct {
				name string
				r    io.Reader
			}{{"whole", bytes.NewReader(file)}, {"halves", iotest.HalfReader(bytes.NewReader(file))}, {"data with EOF", iotest.DataErrReader(bytes.NewReader(file))}} {
				r := NewReader(stream.r)
				got, err := readAll(t, r, file)
				if !errors.Is(err, io.EOF) || !bytes.Equal(bytes.Join(got, nil), music) {
					t.Errorf("%v, %s, %s: %d frames, want %d, %v", args, c.name, stream.name, len(got), len(want), err)
				}
				if skipped := int64(len(file) - len(music)); r.Skipped() != skipped {
					t.Errorf("%v, %s, %s: skipped %d, want %d", args, c.name, stream.name, r.Skipped(), skipped)
				}
			}
		}
	}
}

// TestReaderEdges reads a file cut at every length of its first frames.
func TestReaderEdges(t *testing.T) {
	music := lame(t, shortPiece(30), "-b", "32", "-m", "m", "-t", "--resample", "22.05")
	all, _ := readAll(t, NewReader(bytes.NewReader(music)), music)
	for n := range len(bytes.Join(all[:5], nil)) + 1 {
		whole := 0
		for size := 0; ; whole++ {
			if size += len(all[whole]); size > n {
				break
			}
		}
		got, err := readAll(t, NewReader(iotest.OneByteReader(bytes.NewReader(music[:n]))), music)
		// A lone frame with the start of another behind it is too little to tell from noise.
		if !errors.Is(err, io.EOF) || len(got) != whole && !(whole == 1 && len(got) == 0) {
			t.Fatalf("%d bytes: %d frames, want %d, %v", n, len(got), whole, err)
		}
	}
}

// TestReaderLoss takes bytes out of one frame, and wants that frame alone to be lost.
func TestReaderLoss(t *testing.T) {
	for i, args := range kinds {
		music := lame(t, shortPiece(uint64(40+i)), append(args, "-t")...)
		all, _ := readAll(t, NewReader(bytes.NewReader(music)), music)
		want := append(all[:15:15], all[16:]...)
		start := len(bytes.Join(all[:15], nil))
		for _, n := range []int{1, 7, len(all[15]) / 2} {
			file := append(music[:start+len(all[15])/3:start+len(all[15])/3], music[start+len(all[15])/3+n:]...)
			got, _ := readAll(t, NewReader(bytes.NewReader(file)), file)
			if !bytes.Equal(bytes.Join(got, nil), bytes.Join(want, nil)) {
				t.Errorf("%v, %d bytes lost: %d frames, want %d", args, n, len(got), len(want))
			}
		}
	}
}

func TestReaderErrors(t *testing.T) {
	music := lame(t, shortPiece(31), "-b", "128", "-t")
	broken := errors.New("broken")
	got, err := readAll(t, NewReader(io.MultiReader(bytes.NewReader(music[:9000]), iotest.ErrReader(broken))), music)
	if !errors.Is(err, broken) || len(got) != 9000/417 {
		t.Errorf("%d frames, %v", len(got), err)
	}
	if _, err := readAll(t, NewReader(nothing{}), nil); !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("a reader of nothing: %v", err)
	}
	if _, err := NewReader(bytes.NewReader(nil)).Next(); !errors.Is(err, io.EOF) {
		t.Errorf("an empty stream: %v", err)
	}
}

type nothing struct{}

func (nothing) Read([]byte) (int, error) { return 0, nil }

// TestReaderBound gives the reader an endless stream of each byte and of headers that never agree, and wants
// every byte of a megabyte passed over once.
func TestReaderBound(t *testing.T) {
	for _, pattern := range [][]byte{
		{0}, {0xff}, {0xff, 0xfb, 0x00}, {0xff, 0xfb, 0x00, 0x00}, {0xff, 0xfb, 0x00, 0xc0, 0xff, 0xf3, 0x00, 0xc0},
		{0xff, 0xfb, 0x90, 0x64}, {'I', 'D', '3'}, {'T', 'A', 'G'}, []byte("ID3\x04\x00\x00\x00\x00\x00\x00"), []byte("APETAGEX"),
	} {
		t.Run(fmt.Sprintf("% x", pattern), func(t *testing.T) {
			file := bytes.Repeat(pattern, (1<<20)/len(pattern))
			r := NewReader(bytes.NewReader(file))
			sum := int64(0)
			for {
				f, err := r.Next()
				if err != nil {
					break
				}
				sum += int64(len(f.Data))
			}
			if sum += r.Skipped(); sum != int64(len(file)) {
				t.Errorf("passed over %d of %d bytes", sum, len(file))
			}
		})
	}
}
