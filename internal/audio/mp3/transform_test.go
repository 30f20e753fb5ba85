package mp3

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"
)

// near is what float32 may lose against the formula in float64, of a signal of about 1.
const near = 2e-5

// TestHybridFormula checks the IMDCT, windows, overlap and frequency inversion against the formulas of
// 2.4.3.4.10 as they are printed, granule after granule.
func TestHybridFormula(t *testing.T) {
	tab := loadTables()
	rng := rand.New(rand.NewPCG(1, 36))
	var over [32][18]float32
	var want [32][18]float64 // the overlap by the formula
	for granuleNo, kind := range []uint8{0, 1, 2, 2, 3, 0, 2, 0, 3, 1} {
		g := granule{blockType: kind, mixed: granuleNo%3 == 2}
		var x [576]float32
		nz := 576
		if granuleNo%2 == 1 {
			nz = 200
		}
		for i := range nz {
			x[i] = rng.Float32()*2 - 1
		}
		lines := aliased(&g, x)
		var out [slots * 32]float32
		in := x
		tab.hybrid(&g, nz, &in, &over, &out)
		for sb := range 32 {
			k := kind
			if g.mixed && sb < 2 {
				k = 0
			}
			y := windowed(k, lines[sb*18:sb*18+18])
			for i := range 18 {
				v := y[i] + want[sb][i]
				if sb%2 == 1 && i%2 == 1 {
					v = -v
				}
				if d := math.Abs(v - float64(out[i*32+sb])); d > near {
					t.Fatalf("granule %d, type %d, subband %d, slot %d: %v, want %v", granuleNo, kind, sb, i, out[i*32+sb], v)
				}
				want[sb][i] = y[18+i]
			}
		}
	}
}

// aliased is 2.4.3.4.10.1 with table B.9's c.
func aliased(g *granule, x [576]float32) [576]float64 {
	var y [576]float64
	for i, v := range x {
		y[i] = float64(v)
	}
	bounds := 31
	if g.blockType == 2 {
		bounds = 0
		if g.mixed {
			bounds = 1
		}
	}
	for sb := range bounds {
		for i, c := range []float64{-0.6, -0.535, -0.33, -0.185, -0.095, -0.041, -0.0142, -0.0037} {
			cs, ca := 1/math.Sqrt(1+c*c), c/math.Sqrt(1+c*c)
			a, b := 18*sb+17-i, 18*sb+18+i
			y[a], y[b] = y[a]*cs-y[b]*ca, y[b]*cs+y[a]*ca
		}
	}
	return y
}

// windowed is 2.4.3.4.10.2 and .3: 18 lines to 36 windowed values.
func windowed(kind uint8, x []float64) (y [36]float64) {
	imdct := func(n int, x func(int) float64, i int) float64 {
		sum := 0.0
		for k := range n / 2 {
			sum += x(k) * math.Cos(math.Pi/float64(2*n)*float64((2*i+1+n/2)*(2*k+1)))
		}
		return sum
	}
	if kind == 2 {
		for w := range 3 {
			for i := range 12 {
				v := imdct(12, func(k int) float64 { return x[w+3*k] }, i)
				y[6+6*w+i] += v * math.Sin(math.Pi/12*(float64(i)+0.5))
			}
		}
		return y
	}
	for i := range 36 {
		w := math.Sin(math.Pi / 36 * (float64(i) + 0.5))
		switch {
		case kind == 1 && i >= 30, kind == 3 && i < 6:
			w = 0
		case kind == 1 && i >= 24:
			w = math.Sin(math.Pi / 12 * (float64(i) - 18 + 0.5))
		case kind == 3 && i < 12:
			w = math.Sin(math.Pi / 12 * (float64(i) - 6 + 0.5))
		case kind == 1 && i >= 18, kind == 3 && i < 18:
			w = 1
		}
		y[i] = w * imdct(36, func(k int) float64 { return x[k] }, i)
	}
	return y
}

// TestSynthesisFormula checks the polyphase bank against the flow chart of 2.4.3.2.2.
func TestSynthesisFormula(t *testing.T) {
	tab := loadTables()
	rng := rand.New(rand.NewPCG(2, 32))
	d := func(i int) float64 {
		v := float64(windowD[min(i, 512-i)]) / 65536
		if i > 256 && i%64 != 0 {
			v = -v
		}
		return v
	}
	var v [1024]float64
	var r rows
	for range 3 {
		var sub [slots * 32]float32
		for i := range sub {
			sub[i] = rng.Float32()*2 - 1
		}
		got := make([]float32, 2*slots*32)
		r.synth(tab, &sub, slots, got[1:], 2)
		for s := range slots {
			copy(v[64:], v[:960])
			for i := range 64 {
				v[i] = 0
				for k := range 32 {
					v[i] += math.Cos(float64((16+i)*(2*k+1))*math.Pi/64) * float64(sub[s*32+k])
				}
			}
			for j := range 32 {
				sum := 0.0
				for i := range 8 {
					sum += v[i*128+j]*d(i*64+j) + v[i*128+96+j]*d(i*64+32+j)
				}
				if e := math.Abs(sum - float64(got[2*(s*32+j)+1])); e > near {
					t.Fatalf("slot %d, sample %d: %v, want %v", s, j, got[2*(s*32+j)+1], sum)
				}
			}
		}
		for i := 0; i < len(got); i += 2 {
			if got[i] != 0 {
				t.Fatalf("wrote into the other channel at %d", i)
			}
		}
	}
}

// TestHuffmanComplete checks that every table is a whole prefix code over a square of values.
func TestHuffmanComplete(t *testing.T) {
	all := map[string]string{"A": quadLeaves[0], "B": quadLeaves[1]}
	for _, l := range pairLeaves {
		all[string(rune('a'+l.table))] = l.leaves
	}
	for name, leaves := range all {
		sum, seen := 0.0, map[int]bool{}
		for _, leaf := range strings.Fields(leaves) {
			n, v := parseLeaf(leaf)
			sum += math.Exp2(-float64(n))
			if seen[v] {
				t.Errorf("table %s has %x twice", name, v)
			}
			seen[v] = true
		}
		if sum != 1 {
			t.Errorf("table %s: the codes fill %v of the space", name, sum)
		}
		side := math.Sqrt(float64(len(seen)))
		for v := range seen {
			if x, y := v>>4, v&15; len(name) == 1 && name >= "a" && (float64(x) >= side || float64(y) >= side) {
				t.Errorf("table %s has %x outside its square", name, v)
			}
		}
	}
}

// TestHuffmanLookup decodes every code of every table, of each length of what follows it.
func TestHuffmanLookup(t *testing.T) {
	tab := loadTables()
	c := newComposer(1)
	for table := range tab.pairs {
		if tab.pairs[table] == nil {
			continue
		}
		for x := range 16 {
			for y := range 16 {
				word := c.pairs[table][x][y]
				if word.length == 0 {
					continue
				}
				for lead := range 8 {
					var w bitWriter
					w.put(0, lead)
					w.put(word.bits, word.length)
					want := [2]float64{float64(x), float64(y)}
					for i, v := range []int{x, y} {
						if v == 15 && tab.pairs[table].linbits > 0 {
							w.put(lead&1, int(tab.pairs[table].linbits))
							want[i] += float64(lead & 1)
						}
						if v > 0 {
							w.put(lead>>1&1, 1)
							if lead>>1&1 == 1 {
								want[i] = -want[i]
							}
						}
					}
					var m mainData
					copy(m[:], w.b)
					var got [2]float32
					end := tab.decodePairs(&m, lead, uint8(table), got[:])
					for i, v := range want {
						want[i] = math.Copysign(math.Pow(math.Abs(v), 4.0/3), v)
						if float32(want[i]) != got[i] || end != w.n {
							t.Fatalf("table %d, %d %d behind %d bits: %v to bit %d, want %v to %d", table, x, y, lead, got, end, want, w.n)
						}
					}
				}
			}
		}
	}
}
