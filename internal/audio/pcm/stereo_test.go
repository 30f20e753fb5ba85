package pcm

import (
	"math"
	"testing"
)

func TestStereo(t *testing.T) {
	for _, ch := range []int{1, 2, 3, 4, 5, 6, 7, 8} {
		src := make([]float32, 2*ch)
		for i := range src {
			src[i] = 1
		}
		var dst [4]float32
		Stereo(dst[:], src, ch)
		for i, v := range dst {
			if v > 1.00001 || v < 0.5 {
				t.Errorf("%d channels of full scale: sample %d is %g", ch, i, v)
			}
		}
		// Left stays left.
		src = make([]float32, ch)
		src[0] = 1
		Stereo(dst[:2], src, ch)
		if ch > 1 && (dst[0] <= 0 || dst[1] != 0) || math.IsNaN(float64(dst[0])) {
			t.Errorf("%d channels: left became %v", ch, dst[:2])
		}
	}
}
