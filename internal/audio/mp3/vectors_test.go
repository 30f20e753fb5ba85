//go:build vectors

package mp3

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVectors decodes conformance streams (*.bit with the reference's 16-bit *.pcm beside it) from the
// directory that MP3_VECTORS names, within ISO/IEC 11172-4's limits for full accuracy: RMS below
// 2^-15/sqrt(12) and no difference above 2^-14, of full scale. Build with -tags vectors.
//
// Some references leave out leading frames whose reservoir is missing, or up to two at the end, or go on in
// silence. Streams
// named nonstandard are damaged on purpose: what to play in their place is nobody's standard.
func TestVectors(t *testing.T) {
	dir := os.Getenv("MP3_VECTORS")
	var files []string
	for _, pattern := range []string{"l*-*.bit", "M2L3_*.bit", "ILL*.bit"} {
		match, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, match...)
	}
	if dir == "" || len(files) == 0 {
		t.Fatalf("MP3_VECTORS=%q holds no l3-*.bit: no conformance streams, nothing was checked", dir)
	}
	for _, path := range files {
		if strings.Contains(path, "nonstandard") {
			continue
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".bit"), func(t *testing.T) {
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			reference, err := os.ReadFile(strings.TrimSuffix(path, ".bit") + ".pcm")
			if err != nil {
				t.Fatal(err)
			}
			want := make([]float32, len(reference)/2)
			for i := range want {
				want[i] = float32(int16(binary.LittleEndian.Uint16(reference[2*i:]))) / 32768
			}
			var d Decoder
			var got []float32
			var buf [2 * MaxSamples]float32
			for i, f := range frames(t, file) {
				n, err := d.Decode(f, buf[:])
				if errors.Is(err, ErrReservoir) && len(got) == 0 {
					continue
				}
				if err != nil {
					t.Fatalf("decode frame %d: %v", i, err)
				}
				h, _ := ParseHeader(f)
				for _, v := range buf[:n*h.Channels()] {
					v := math.RoundToEven(float64(v) * 32768)
					got = append(got, float32(max(-32768, min(32767, v)))/32768)
				}
			}
			for len(want) > len(got) && want[len(want)-1] == 0 {
				want = want[:len(want)-1]
			}
			if len(want) > len(got) && len(want)-len(got) <= 2*481 { // the filter bank's last breath
				want = want[:len(got)]
			}
			if len(want) > len(got) || len(got)-len(want) > 2*2*MaxSamples {
				t.Fatalf("%d samples, reference %d", len(got), len(want))
			}
			peak, rms := difference(got[:len(want)], want)
			t.Logf("%d samples, reference %d, peak %.0f, RMS %.4f of 1/32768", len(got), len(want), peak, rms)
			if peak > 2 || rms >= 1/math.Sqrt(12) {
				t.Errorf("outside the limits of full accuracy")
			}
		})
	}
}
