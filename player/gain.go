package player

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"playnode/manifests"
)

// ceiling is -1 dBTP, above which no sample is brought (EBU R128).
const ceiling = 0.8912509

func parseLoudness(s string) (target float64, err error) {
	if s == "" || s == "off" {
		return math.NaN(), nil
	}
	t, err := strconv.ParseFloat(strings.TrimSuffix(s, "LUFS"), 64)
	if err != nil || !(t >= -40 && t <= -5) {
		return 0, fmt.Errorf("loudness %q is neither off nor a target from -40 to -5 (LUFS)", s)
	}
	return t, nil
}

// peak is a track's highest at the sink; full scale where nobody measured it.
func peak(l *manifests.Loudness, gain float32) float32 {
	if l == nil {
		return gain
	}
	return gain * float32(math.Pow(10, float64(l.Peak)/20000))
}

// volumeGain is the gain of a volume in percent: a cube, so that half is heard
// as about half. 100 changes no sample.
func volumeGain(percent int) float32 {
	v := float32(max(0, min(100, percent))) / 100
	return v * v * v
}
