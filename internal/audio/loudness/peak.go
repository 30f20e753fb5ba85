package loudness

import "math"

const (
	lobes = 12  // of the interpolating sinc, on each side
	piece = 256 // frames looked at together
)

// peak looks for the highest absolute value at four times the rate (twice from 96 kHz on, BS.1770-4
// annex 2).
type peak struct {
	channels int
	phases   [][2 * lobes]float32
	gain     float32 // the most that a phase can make of samples within ±1
	max      float32
	line     [8][2*lobes + piece]float32 // per channel: the last 2*lobes frames, then new ones
	have     int                         // new ones
}

func newPeak(rate, channels int) peak {
	p := peak{channels: channels}
	over := 4
	switch {
	case rate >= 192000:
		over = 1
	case rate >= 96000:
		over = 2
	}
	for i := 1; i < over; i++ {
		var row [2 * lobes]float32
		var sum, abs float64
		for k := range row {
			x := float64(k-lobes+1) - float64(i)/float64(over)
			w := math.Cos(math.Pi * x / (2 * lobes))
			row[k] = float32(math.Sin(math.Pi*x) / (math.Pi * x) * w * w)
			sum += float64(row[k])
		}
		for k := range row {
			row[k] /= float32(sum)
			abs += math.Abs(float64(row[k]))
		}
		p.gain = max(p.gain, float32(abs))
		p.phases = append(p.phases, row)
	}
	return p
}

func (p *peak) write(src []float32) {
	for len(src) >= p.channels {
		n := min(piece-p.have, len(src)/p.channels)
		for c := range p.channels {
			line := p.line[c][2*lobes+p.have:]
			for i := range n {
				line[i] = src[i*p.channels+c]
			}
		}
		src = src[n*p.channels:]
		if p.have += n; p.have == piece {
			p.look()
		}
	}
}

func (p *peak) flush() {
	for range 2 { // the second piece, all silence, lets the last samples through the filter
		for c := range p.channels {
			clear(p.line[c][2*lobes+p.have:])
		}
		p.look()
	}
}

func (p *peak) look() {
	p.have = 0
	for c := range p.channels {
		line := p.line[c][:]
		var high float32
		for _, v := range line {
			if v < 0 {
				v = -v
			}
			if v > high {
				high = v
			}
		}
		p.max = max(p.max, high)
		if high*p.gain > p.max { // else no phase can reach it
			for i := range piece {
				w := line[i : i+2*lobes]
				for k := range p.phases {
					row := &p.phases[k]
					var a, b, c, d float32
					for j := 0; j+3 < 2*lobes; j += 4 {
						a += row[j] * w[j]
						b += row[j+1] * w[j+1]
						c += row[j+2] * w[j+2]
						d += row[j+3] * w[j+3]
					}
					if a += b + c + d; a < 0 {
						a = -a
					}
					if a > p.max {
						p.max = a
					}
				}
			}
		}
		copy(line, line[piece:])
	}
}
