package mp3

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
)

// kinds are encodings that differ in what a seek or damage meets: reservoirs long and short, one granule a
// frame and two, one channel and two.
var kinds = [][]string{
	{"-b", "128"}, {"-V", "2"}, {"-b", "320", "-m", "s"}, {"-b", "64", "-m", "m"}, {"-b", "128", "--nores"},
	{"-b", "64", "--resample", "22.05"}, {"-V", "6", "--resample", "24"}, {"-b", "24", "--resample", "8", "-m", "m"},
	{"--freeformat", "-b", "160"}, {"-b", "96", "-p"},
}

// shortPiece is one of three synthesised pieces of two seconds.
func shortPiece(seed uint64) pcm { return pcm{"short", shorts()[seed%3]} }

var shorts = sync.OnceValue(func() (all [3][]byte) {
	for i := range all {
		all[i] = synthesise(uint64(i)+100, 2)
	}
	return all
})

// TestSeek starts at every frame after a Reset, warmed up as Header.Warmup says, and wants the very samples
// of decoding from the start.
func TestSeek(t *testing.T) {
	for i, args := range kinds {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			all := frames(t, lame(t, shortPiece(uint64(i)), args...))
			var d Decoder
			linear := decodeAll(t, &d, all)
			h, _ := ParseHeader(all[0])
			per := h.Samples() * h.Channels()
			var buf [2 * MaxSamples]float32
			for k := range all {
				first := warmFrom(t, all, k, h.Warmup())
				d.Reset()
				for j := first; j <= k; j++ {
					if _, err := d.Decode(all[j], buf[:]); err != nil && (!errors.Is(err, ErrReservoir) || j == k) {
						t.Fatalf("seek to %d from %d: frame %d: %v", k, first, j, err)
					}
				}
				for i, v := range linear[k*per : (k+1)*per] {
					if buf[i] != v {
						t.Fatalf("seek to frame %d from %d: sample %d is %v, not %v", k, first, i, buf[i], v)
					}
				}
			}
		})
	}
}

// warmFrom returns the frame to start at so that the warmup frames before k are whole.
func warmFrom(t *testing.T, all [][]byte, k, warmup int) int {
	want := max(0, k-warmup)
	back, _, err := MainDataBegin(all[want])
	if err != nil {
		t.Fatal(err)
	}
	first := want
	for ; back > 0 && first > 0; first-- {
		_, own, err := MainDataBegin(all[first-1])
		if err != nil {
			t.Fatal(err)
		}
		back -= own
	}
	return first
}

// TestReservoir drops the first frames: what leans on them comes out silent, of exact length, and says so.
func TestReservoir(t *testing.T) {
	all := frames(t, lame(t, shortPiece(1), "-b", "128"))
	var d Decoder
	var buf [2 * MaxSamples]float32
	missing := 0
	for _, f := range all[5:] {
		buf[7] = 1
		n, err := d.Decode(f, buf[:])
		if n != 1152 {
			t.Fatalf("%d samples", n)
		}
		if err == nil {
			break
		}
		if !errors.Is(err, ErrReservoir) {
			t.Fatal(err)
		}
		missing++
		for i, v := range buf[:2*n] {
			if v != 0 {
				t.Fatalf("sample %d is %v, not silent", i, v)
			}
		}
	}
	if missing == 0 || missing > 5 {
		t.Errorf("%d frames without their reservoir", missing)
	}
}

func TestRefuses(t *testing.T) {
	all := frames(t, lame(t, shortPiece(2), "-b", "128"))
	good := all[3]
	var d Decoder
	buf := make([]float32, 2*MaxSamples)
	for _, c := range []struct {
		name  string
		frame []byte
		dst   []float32
		want  error
		n     int
	}{
		{"empty", nil, buf, ErrHeader, 0},
		{"three bytes", good[:3], buf, ErrHeader, 0},
		{"no sync", append([]byte{0xfe}, good[1:]...), buf, ErrHeader, 0},
		{"layer II of MPEG-2.5", append([]byte{0xff, 0xe5}, good[2:]...), buf, ErrLayer, 0},
		{"layer I of MPEG-2.5", append([]byte{0xff, 0xe7}, good[2:]...), buf, ErrLayer, 0},
		{"short dst", good, buf[:2*1152-1], ErrShort, 0},
		{"header alone", good[:4], buf, ErrDamaged, 1152},
		{"side information alone", good[:36], buf, ErrDamaged, 1152},
		{"a byte short", good[:len(good)-1], buf, ErrDamaged, 1152},
	} {
		if n, err := d.Decode(c.frame, c.dst); n != c.n || !errors.Is(err, c.want) {
			t.Errorf("%s: %d samples, %v, want %d, %v", c.name, n, err, c.n, c.want)
		}
	}
	if n, err := d.Decode(all[0], buf[:2*1152]); n != 1152 || err != nil {
		t.Errorf("a whole frame after them: %d, %v", n, err)
	}
}

// TestExtraBytes wants bytes behind a frame ignored, the reservoir's included.
func TestExtraBytes(t *testing.T) {
	all := frames(t, lame(t, shortPiece(3), "-V", "2"))
	var d, e Decoder
	want := decodeAll(t, &d, all)
	for i, f := range all {
		all[i] = append(bytes.Clone(f), 1, 2, 3, 4, 5)
	}
	for i, v := range decodeAll(t, &e, all) {
		if v != want[i] {
			t.Fatalf("sample %d is %v, not %v", i, v, want[i])
		}
	}
}

// TestCRC wants LAME's check words right, and any flipped bit they cover found.
func TestCRC(t *testing.T) {
	for _, args := range [][]string{{"-b", "128", "-p"}, {"-b", "64", "-p", "-m", "m"}, {"-b", "48", "-p", "--resample", "22.05"}} {
		all := frames(t, lame(t, shortPiece(4), args...))
		d := Decoder{CheckCRC: true}
		decodeAll(t, &d, all)
		f := all[len(all)/2]
		h, _ := ParseHeader(f)
		var buf [2 * MaxSamples]float32
		for bit := 8 * HeaderSize; bit < 8*(h.sideStart()+h.sideSize()); bit++ {
			bad := bytes.Clone(f)
			bad[bit/8] ^= 0x80 >> (bit % 8)
			if n, err := d.Decode(bad, buf[:]); n != h.Samples() || !errors.Is(err, ErrCRC) {
				t.Fatalf("%v: bit %d flipped: %d, %v", args, bit, n, err)
			}
		}
		bad := bytes.Clone(f)
		bad[4] ^= 1
		d = Decoder{}
		if _, err := d.Decode(bad, buf[:]); errors.Is(err, ErrCRC) {
			t.Errorf("%v: checked though not asked to", args)
		}
	}
}

// TestModeChange wants a second channel that begins after mono to begin from silence, as after a seek.
func TestModeChange(t *testing.T) {
	p := shortPiece(6)
	stereo := frames(t, lame(t, p, "-b", "128", "--nores", "-m", "s"))
	mono := frames(t, lame(t, p, "-b", "64", "--nores", "-m", "m"))
	var d Decoder
	decodeAll(t, &d, append(stereo[:20:20], mono[20:22]...))
	var e Decoder
	decodeAll(t, &e, mono[20:22])
	got, want := decodeAll(t, &d, stereo[22:24]), decodeAll(t, &e, stereo[22:24])
	for i := 1; i < len(got); i += 2 {
		if got[i] != want[i] {
			t.Fatalf("sample %d of the second channel is %v, not %v", i/2, got[i], want[i])
		}
	}
}

// TestQuadsOverrun drops the quadruple that does not end within its granule (2.4.3.4.6).
func TestQuadsOverrun(t *testing.T) {
	tab := loadTables()
	var m mainData
	m[0] = 0b0000_1111 // table B: 1111 and its four signs, negative
	m[1] = 0b1111_0000 // then 0000, and 1111
	for limit, want := range map[int]int{0: 0, 7: 0, 8: 4, 9: 4, 11: 4, 12: 8, 13: 8} {
		dst := make([]float32, 16)
		n := tab.decodeQuads(&m, 0, limit, 1, dst)
		sum := float32(0)
		for _, v := range dst {
			sum += v
		}
		if n != want || sum != float32(-4*min(1, want)) {
			t.Errorf("%d bits: %d values, sum %v, want %d", limit, n, sum, want)
		}
	}
}

func TestAllocations(t *testing.T) {
	p := shortPiece(5)
	all := frames(t, lame(t, p, "-V", "2"))
	all = append(all, frames(t, tool(t, p.samples, "ffmpeg", "-v", "error", "-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "-", "-c:a", "mp2", "-f", "mp2", "-"))...)
	var d Decoder
	var buf [2 * MaxSamples]float32
	decodeAll(t, &d, all)
	if n := testing.AllocsPerRun(10, func() {
		d.Reset()
		for _, f := range all {
			if _, err := d.Decode(f, buf[:]); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations for %d frames", n, len(all))
	}
}

// TestDamage decodes 600 files with damage in their middle: no panic, no end but the stream's, and the last
// quarter as if nothing had happened.
func TestDamage(t *testing.T) {
	type original struct {
		file []byte
		tail []float32
	}
	var originals []original
	for i, args := range kinds {
		file := lame(t, shortPiece(uint64(10+i)), args...)
		var d Decoder
		linear := decodeAll(t, &d, frames(t, file))
		originals = append(originals, original{file, linear[len(linear)*3/4:]})
	}
	files := uint64(600)
	if testing.Short() {
		files /= 5
	}
	for seed := range files {
		rng := rand.New(rand.NewPCG(seed, 600))
		o := originals[seed%uint64(len(originals))]
		bad := damage(rng, o.file)
		got := resilient(t, seed, bad)
		if len(got) < len(o.tail) {
			t.Fatalf("seed %d: %d samples left, less than the %d undamaged", seed, len(got), len(o.tail))
		}
		for i, v := range got[len(got)-len(o.tail):] {
			if v != o.tail[i] {
				t.Fatalf("seed %d: not resumed: sample %d of %d is %v, not %v", seed, i, len(o.tail), v, o.tail[i])
			}
		}
	}
}

// damage spoils the part of file from a tenth to six tenths.
func damage(rng *rand.Rand, file []byte) []byte {
	from, to := len(file)/10, len(file)*6/10
	at := func() int { return from + rng.IntN(to-from) }
	b := bytes.Clone(file)
	switch rng.IntN(6) {
	case 0: // flipped bits
		for range 1 + rng.IntN(200) {
			b[at()] ^= 1 << rng.IntN(8)
		}
	case 1: // a stretch of noise
		i := at()
		for j := i; j < min(i+rng.IntN(4000), to); j++ {
			b[j] = byte(rng.Uint32())
		}
	case 2: // a stretch of zeros or ones
		i, v := at(), byte(-rng.IntN(2))
		for j := i; j < min(i+rng.IntN(4000), to); j++ {
			b[j] = v
		}
	case 3: // bytes lost
		i := at()
		b = append(b[:i], b[min(i+1+rng.IntN(3000), to):]...)
	case 4: // bytes put in, as of another file
		i := at()
		b = append(b[:i:i], append(bytes.Clone(file[:rng.IntN(5000)]), file[i:]...)...)
	case 5: // headers and side information spoilt
		for range 1 + rng.IntN(30) {
			i := at()
			if j := bytes.IndexByte(b[i:to], 0xff); j >= 0 {
				b[i+j+1+rng.IntN(36)] = byte(rng.Uint32())
			}
		}
	}
	return b
}

// resilient decodes file to its end as a player would.
func resilient(t *testing.T, seed uint64, file []byte) []float32 {
	var d Decoder
	r := NewReader(bytes.NewReader(file))
	var all []float32
	var buf [2 * MaxSamples]float32
	for at := int64(-1); ; {
		f, err := r.Next()
		if err != nil {
			return all
		}
		if f.Offset <= at || len(f.Data) == 0 {
			t.Fatalf("seed %d: frame of %d bytes at %d behind one at %d", seed, len(f.Data), f.Offset, at)
		}
		at = f.Offset
		n, err := d.Decode(f.Data, buf[:])
		if n != f.Samples() && !errors.Is(err, ErrLayer) {
			t.Fatalf("seed %d: %d samples of %d, %v", seed, n, f.Samples(), err)
		}
		all = append(all, buf[:n*f.Channels()]...)
	}
}
