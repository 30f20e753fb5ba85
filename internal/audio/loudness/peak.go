package loudness

import "math"

const (
	lobes  = 12  // of the interpolating sinc, on each side
	middle = 4   // of them, on each side, are nearly all of it
	piece  = 256 // frames taken in together
	block  = 8   // frames looked at together
	blocks = (2*lobes + piece) / block
)

// peak looks for the highest absolute value at four times the rate (twice from 96 kHz on, BS.1770-4
// annex 2). It interpolates only where the samples' size, and then the sum of the middle taps, leave room
// for a new highest: what it finds is what interpolating everywhere would.
type peak struct {
	channels int
	phases   [][2 * lobes]float32
	// What the middle taps of the outer phases, which mirror each other, make of the sums and the differences of the samples
	// that lie as far before as after, and what those of the half phase make of the sums.
	sums, differences, half [middle]float32
	// The most that the middle taps, and the others, can make of samples within ±1.
	near, far float32
	max       float32
	line      [8][2*lobes + piece]float32 // per channel: the last 2*lobes frames, then new ones
	have      int                         // new ones
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
		var sum float64
		var near, far float32
		for k := range row {
			x := float64(k-lobes+1) - float64(i)/float64(over)
			w := math.Cos(math.Pi * x / (2 * lobes))
			row[k] = float32(math.Sin(math.Pi*x) / (math.Pi * x) * w * w)
			sum += float64(row[k])
		}
		for k := range row {
			row[k] /= float32(sum)
			if k >= lobes-middle && k < lobes+middle {
				near += abs(row[k])
			} else {
				far += abs(row[k])
			}
		}
		for k := range middle {
			before, after := row[lobes-middle+k], row[lobes+middle-1-k]
			switch {
			case 2*i == over:
				p.half[k] = before
			case i == 1:
				p.sums[k], p.differences[k] = (before+after)/2, (before-after)/2
			}
		}
		p.near, p.far = max(p.near, near), max(p.far, far+1e-4) // what rounding may add
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
		line := &p.line[c]
		var high [blocks]float32
		for b := range high {
			var m uint32 // floats without their sign are in the order of their bits
			for _, v := range (*[block]float32)(line[b*block:]) {
				m = max(m, math.Float32bits(v)&^(1<<31))
			}
			high[b] = math.Float32frombits(m)
			p.max = max(p.max, high[b])
		}
		if len(p.phases) > 0 {
			for b := range piece / block {
				in := max(high[b+1], high[b+2]) // a sample's middle taps, for all of the block
				all := max(high[b], in, high[b+3])
				if p.near*in+p.far*all > p.max {
					p.interpolate((*[block + 2*lobes]float32)(line[b*block:]), p.far*all)
				}
			}
		}
		copy(line[:], line[piece:])
	}
}

// interpolate looks between the samples of a block, of which all taps but the middle ones make at most rest.
func (p *peak) interpolate(line *[block + 2*lobes]float32, rest float32) {
	const first = lobes - middle
	a0, a1, a2, a3 := p.sums[0], p.sums[1], p.sums[2], p.sums[3]
	b0, b1, b2, b3 := p.differences[0], p.differences[1], p.differences[2], p.differences[3]
	h0, h1, h2, h3 := p.half[0], p.half[1], p.half[2], p.half[3]
	for i := range block {
		w := (*[2 * lobes]float32)(line[i : i+2*lobes])
		s0, d0 := w[first]+w[first+7], w[first]-w[first+7]
		s1, d1 := w[first+1]+w[first+6], w[first+1]-w[first+6]
		s2, d2 := w[first+2]+w[first+5], w[first+2]-w[first+5]
		s3, d3 := w[first+3]+w[first+4], w[first+3]-w[first+4]
		outer := abs(a0*s0+a1*s1+(a2*s2+a3*s3)) + abs(b0*d0+b1*d1+(b2*d2+b3*d3))
		if room := p.max - rest; outer <= room && abs(h0*s0+h1*s1+(h2*s2+h3*s3)) <= room {
			continue
		}
		for k := range p.phases {
			row := &p.phases[k]
			var a, b, c, d float32
			for j := 0; j+3 < 2*lobes; j += 4 {
				a += row[j] * w[j]
				b += row[j+1] * w[j+1]
				c += row[j+2] * w[j+2]
				d += row[j+3] * w[j+3]
			}
			p.max = max(p.max, abs(a+(b+c+d)))
		}
	}
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }
