package mp3

import (
	"math"
	"strconv"
	"strings"
	"sync"
)

// tables are the constants that are cheaper computed than written. They never change once built.
type tables struct {
	pairs [32]*pairTable
	quads [2][64]uint8 // by six bits: the code's length, then v, w, x, y

	pow43 [16 + 1<<13]uint32 // float32 bits of n^(4/3): 15 and 13 linbits reach 8206
	gain  [gainSteps]float32 // 2^((i-gainUnit)/4)

	scale [64]float32 // Layers I and II: 2^(1-i/3) (table B.1)

	mid    [7][2]float32     // MPEG-1 intensity: left and right by is_pos
	low    [2][32][2]float32 // LSF intensity: by intensity_scale and is_pos
	win    [2][4][36]float32 // IMDCT windows by odd subband and block type, see imdct.go
	decode [17][16]float32   // synthesis windows, see polyphase.go
}

// The exponents of 2.4.3.4.7.1 in quarters of an octave: the lowest is 0 - 210 - 8*7 - 4*(31+3) - 2, the
// highest 255 - 210.
const (
	gainUnit  = 408
	gainSteps = gainUnit + 46
)

// pairTable decodes one table of B.7 for pairs. An entry below link is a code's length, x and y in four
// bits each. The others point on: how many further bits, and where their entries begin.
type pairTable struct {
	linbits uint
	entry   [2048]uint16 // by the next eight bits; then what links point to
}

const (
	rootBits  = 8
	linkBits  = 6
	link      = 0x8000
	linkShift = 11
	linkMask  = 1<<linkShift - 1
)

// linbits of tables 16 to 31 (table B.7); 16 to 23 share one code and 24 to 31 another.
var linbits = [16]uint{1, 2, 3, 4, 6, 8, 10, 13, 4, 5, 6, 7, 8, 9, 11, 13}

var loadTables = sync.OnceValue(func() *tables {
	t := new(tables)
	for _, l := range pairLeaves {
		p := newPairTable(strings.Fields(l.leaves))
		t.pairs[l.table] = p
		if l.table >= 16 {
			for i := l.table; i < l.table+8; i++ {
				q := *p
				q.linbits = linbits[i-16]
				t.pairs[i] = &q
			}
		}
	}
	for i, l := range quadLeaves {
		at := 0
		for _, leaf := range strings.Fields(l) {
			n, v := parseLeaf(leaf)
			for end := at + 64>>n; at < end; at++ {
				t.quads[i][at] = uint8(n<<4 | v)
			}
		}
	}
	for i := range t.pow43 {
		t.pow43[i] = math.Float32bits(float32(math.Pow(float64(i), 4.0/3)))
	}
	for i := range t.gain {
		t.gain[i] = float32(math.Exp2(float64(i-gainUnit) / 4))
	}
	for i := range t.scale {
		t.scale[i] = float32(math.Exp2(1 - float64(i)/3))
	}
	t.fillIntensity()
	t.fillIMDCT()
	t.fillDecode()
	return t
})

// parseLeaf reads one leaf of huffdata.go.
func parseLeaf(leaf string) (length, value int) {
	n, err := strconv.ParseUint(leaf[:1], 36, 8)
	if err != nil {
		panic(err) // a constant of this package
	}
	v, err := strconv.ParseUint(leaf[1:], 16, 8)
	if err != nil {
		panic(err)
	}
	return int(n), int(v)
}

// newPairTable lays leaves out as lookup tables of at most rootBits, then linkBits each.
func newPairTable(leaves []string) *pairTable {
	p := new(pairTable)
	codes := make([]code, len(leaves))
	at := uint32(0)
	for i, leaf := range leaves {
		n, v := parseLeaf(leaf)
		codes[i] = code{at, n, v}
		at += 1 << (32 - n)
	}
	next := 1 << rootBits
	p.fill(codes, 0, rootBits, &next)
	return p
}

// code is one Huffman code, its bits at the top.
type code struct {
	bits          uint32
	length, value int
}

// fill writes the table of width bits at base for codes, which are in order and all begin alike with what
// was looked up before; next is the first free entry.
func (p *pairTable) fill(codes []code, base, width int, next *int) {
	for len(codes) > 0 {
		c := codes[0]
		at := base + int(c.bits>>(32-width))
		if c.length <= width {
			for i := range 1 << (width - c.length) {
				p.entry[at+i] = uint16(c.length<<8 | c.value)
			}
			codes = codes[1:]
			continue
		}
		n, deepest := 0, 0
		for n < len(codes) && codes[n].bits>>(32-width) == c.bits>>(32-width) {
			deepest = max(deepest, codes[n].length-width)
			n++
		}
		sub := make([]code, n)
		for i, s := range codes[:n] {
			sub[i] = code{s.bits << width, s.length - width, s.value}
		}
		w, start := min(deepest, linkBits), *next
		*next += 1 << w
		p.entry[at] = uint16(link | w<<linkShift | start)
		p.fill(sub, start, w, next)
		codes = codes[n:]
	}
}
