package loudness

import (
	"math/rand/v2"
	"testing"
)

// everywhere interpolates at every sample, whatever came before it.
func everywhere(p *peak, src []float32, channels int) (most float32) {
	for c := range channels {
		line := make([]float32, 2*lobes, len(src)/channels+4*lobes)
		for i := c; i < len(src); i += channels {
			line = append(line, src[i])
			most = max(most, abs(src[i]))
		}
		line = append(line, make([]float32, 2*lobes)...)
		for i := range len(line) - 2*lobes {
			for k := range p.phases {
				var sum [4]float32
				for j, h := range p.phases[k] {
					sum[j%4] += h * line[i+j]
				}
				most = max(most, abs(sum[0]+(sum[1]+sum[2]+sum[3])))
			}
		}
	}
	return most
}

// What is passed over could not have been the highest: in music, in noise with a peak at an odd place, in
// sound that grows, at any number of channels and every oversampling.
func TestPeakPassesOverNothing(t *testing.T) {
	for _, rate := range []int{44100, 96000, 192000} {
		for channels := 1; channels <= 6; channels++ {
			rnd := rand.New(rand.NewPCG(uint64(rate), uint64(channels)))
			noise, grows := make([]float32, 5003*channels), make([]float32, 5003*channels)
			for i := range noise {
				noise[i] = rnd.Float32() - 0.5
				grows[i] = noise[i] * float32(i) / float32(len(noise))
			}
			noise[rnd.IntN(len(noise))] = 0.7
			for name, src := range map[string][]float32{"music": music(rate, channels, 1, 3), "noise": noise, "growing": grows, "short": noise[:3*channels]} {
				p := newPeak(rate, channels)
				want := everywhere(&p, src, channels)
				for rest := src; len(rest) > 0; {
					n := min(len(rest), channels*(1+rnd.IntN(700)))
					p.write(rest[:n])
					rest = rest[n:]
				}
				p.flush()
				if d := abs(p.max - want); d > 1e-6*want { // processors that fuse products round otherwise
					t.Errorf("%s at %d Hz, %d channels: %g, and %g everywhere", name, rate, channels, p.max, want)
				}
			}
		}
	}
}

// Channels are measured by twos and come out as each alone.
func TestChannelsByTwos(t *testing.T) {
	const rate = 48000
	for channels := 1; channels <= 8; channels++ {
		src := music(rate, channels, 1, 2)
		m, err := New(rate, channels)
		if err != nil {
			t.Fatal(err)
		}
		m.Write(src)
		for c := range channels {
			alone, err := New(rate, 1)
			if err != nil {
				t.Fatal(err)
			}
			one := make([]float32, 0, rate)
			for i := c; i < len(src); i += channels {
				one = append(one, src[i])
			}
			alone.Write(one)
			if want := alone.state[0]; m.weight[c] != 0 && m.state[c] != want {
				t.Errorf("channel %d of %d: %v, alone %v", c, channels, m.state[c], want)
			}
		}
	}
}
