package mp3

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestLayer2 decodes ffmpeg's Layer II beside mpg123, at rates that pick every table.
func TestLayer2(t *testing.T) {
	p := pcm{"short", shorts()[0]}
	for _, args := range [][]string{
		{"-b:a", "192k"}, {"-b:a", "384k"}, {"-b:a", "128k"}, {"-b:a", "64k"}, {"-b:a", "48k"}, {"-b:a", "32k", "-ac", "1"},
		{"-b:a", "192k", "-ar", "48000"}, {"-b:a", "64k", "-ar", "48000"}, {"-b:a", "96k", "-ar", "32000"}, {"-b:a", "192k", "-ar", "32000", "-ac", "1"},
		{"-b:a", "96k", "-ar", "22050"}, {"-b:a", "160k", "-ar", "24000"}, {"-b:a", "8k", "-ar", "16000", "-ac", "1"},
	} {
		t.Run(fmt.Sprint(args), func(t *testing.T) {
			t.Parallel()
			in := []string{"-v", "error", "-f", "s16le", "-ar", "44100", "-ac", "2", "-i", "-", "-c:a", "mp2"}
			file := tool(t, p.samples, "ffmpeg", append(append(in, args...), "-f", "mp2", "-")...)
			var d Decoder
			compare(t, decodeAll(t, &d, frames(t, file)), mpg123(t, file))
		})
	}
}

// composeLayer1 writes n random frames of Layer I, which no encoder at hand does.
func composeLayer1(rng *rand.Rand, version Version, rate, bitrate int, mode Mode, ext int, crc bool, n int) []byte {
	var out []byte
	for range n {
		header := []byte{0xff, map[Version]byte{MPEG1: 0xfe, MPEG2: 0xf6}[version], byte(bitrate<<4 | rate<<2), byte(mode)<<6 | byte(ext)<<4}
		if !crc {
			header[1] |= 1
		}
		h, err := ParseHeader(header)
		if err != nil {
			panic(err)
		}
		channels, bound := h.Channels(), 32
		if mode == Joint {
			bound = 4 * (ext + 1)
		}
		budget := 8*(h.Size()-h.sideStart()) - 32*4*channels
		var w bitWriter
		var coded [2][32]int
		for sb := range 32 {
			for ch := range channels {
				if ch == 1 && sb >= bound {
					coded[1][sb] = coded[0][sb]
					continue
				}
				a := rng.IntN(15)
				if cost := 12*(a+1) + 6*2; a > 0 && cost <= budget {
					budget -= cost
				} else {
					a = 0
				}
				coded[ch][sb] = a
				w.put(a, 4)
			}
		}
		covered := checksum(checksum(0xffff, header[2:]), w.b) // 32 allocations make whole bytes
		for sb := range 32 {
			for ch := range channels {
				if coded[ch][sb] > 0 {
					w.put(12+rng.IntN(51), 6)
				}
			}
		}
		for range 12 {
			for sb := range 32 {
				for ch := range channels {
					if a := coded[ch][sb]; a > 0 && (ch == 0 || sb < bound) {
						w.put(rng.IntN(2<<a-1), a+1)
					}
				}
			}
		}
		frame := append([]byte{}, header...)
		if crc {
			frame = append(frame, byte(covered>>8), byte(covered))
		}
		frame = append(frame, w.b...)
		out = append(out, append(frame, make([]byte, h.Size()-len(frame))...)...)
	}
	return out
}

func TestLayer1(t *testing.T) {
	for version := MPEG1; version <= MPEG2; version++ {
		for rate := range 3 {
			for mode := Stereo; mode <= Mono; mode++ {
				for ext := range 4 {
					if ext > 0 && mode != Joint {
						continue
					}
					t.Run(fmt.Sprint(version, rates[version][rate], mode, ext), func(t *testing.T) {
						file := composeLayer1(rand.New(rand.NewPCG(uint64(rate), uint64(mode))), version, rate, 9+rate, mode, ext, ext%2 == 1, 12)
						d := Decoder{CheckCRC: true}
						compare(t, decodeAll(t, &d, frames(t, file)), mpg123(t, file))
					})
				}
			}
		}
	}
}

// TestLayers12Refuse wants a frame that is cut or allocates more than it holds silent, and the next one whole.
func TestLayers12Refuse(t *testing.T) {
	file := composeLayer1(rand.New(rand.NewPCG(1, 1)), MPEG1, 0, 12, Stereo, 0, true, 3)
	all := frames(t, file)
	var buf [2 * MaxSamples]float32
	for name, spoil := range map[string]func(f []byte) []byte{
		"cut":       func(f []byte) []byte { return f[:len(f)/2] },
		"header":    func(f []byte) []byte { return f[:4] },
		"forbidden": func(f []byte) []byte { f[6] |= 0xf0; return f },
		"too much": func(f []byte) []byte {
			for i := range 32 {
				f[6+i] = 0xee
			}
			return f
		},
	} {
		var d Decoder
		bad := spoil(append([]byte{}, all[0]...))
		n, err := d.Decode(bad, buf[:])
		if n != 384 || !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %d, %v", name, n, err)
		}
		for i, v := range buf[:2*384] {
			if v != 0 {
				t.Fatalf("%s: sample %d is %v, not silent", name, i, v)
			}
		}
		if n, err := d.Decode(all[1], buf[:]); n != 384 || err != nil {
			t.Errorf("after %s: %d, %v", name, n, err)
		}
	}
	bad := append([]byte{}, all[0]...)
	bad[7] ^= 1
	if n, err := (&Decoder{CheckCRC: true}).Decode(bad, buf[:]); n != 384 || !errors.Is(err, ErrCRC) {
		t.Errorf("flipped bit: %d, %v", n, err)
	}
}
