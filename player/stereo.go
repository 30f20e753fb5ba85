package player

// half is -3 dB, the share of a centre or side loudspeaker in left and right
// (ITU-R BS.775).
const half = 0.70710678

// toStereo makes two channels of any: one is heard on both sides, more are
// mixed down with the low-frequency channel left out, scaled so that nothing
// can clip that did not before. Channels stand in WAVE's order: left, right,
// centre, LFE, and then those behind and beside, left before right.
func toStereo(dst, src []float32, channels int) {
	switch channels {
	case 1:
		for i, s := range src {
			dst[2*i], dst[2*i+1] = s, s
		}
	case 2:
		copy(dst, src)
	case 4: // left, right, back left, back right
		for i := range len(src) / 4 {
			f := src[4*i : 4*i+4]
			dst[2*i], dst[2*i+1] = (f[0]+half*f[2])/(1+half), (f[1]+half*f[3])/(1+half)
		}
	default:
		surround := 0
		if channels > 4 {
			surround = (channels - 3) / 2
		}
		first := channels - 2*surround // the first channel behind
		scale := 1 / (1 + half*float32(1+surround))
		for i := range len(src) / channels {
			f := src[i*channels : (i+1)*channels]
			l, r := f[0]+half*f[2], f[1]+half*f[2]
			for c := first; c+1 < channels; c += 2 {
				l += half * f[c]
				r += half * f[c+1]
			}
			dst[2*i], dst[2*i+1] = l*scale, r*scale
		}
	}
}
