package mp3

import (
	"encoding/binary"
	"math"
)

// mainCap holds what may be left in the reservoir and one frame. Reads run at most mainSlack bytes over.
const (
	mainCap   = 8192
	mainSlack = 8
)

// mainData is the buffer of 2.4.3.4.4 with main data at its start. Any bit position may be read: positions
// wrap at mainCap, so that no damaged length leads out of it.
type mainData [mainCap + mainSlack]byte

// peek returns the bits from pos on, at the top; at least the first 57 are bits of the stream.
func (m *mainData) peek(pos int) uint64 {
	i := pos >> 3 & (mainCap - 1)
	return binary.BigEndian.Uint64(m[i:i+8]) << (pos & 7)
}

// bits returns n bits, 0 to 32, from pos on.
func (m *mainData) bits(pos, n int) int { return int(m.peek(pos) >> (64 - n) & (1<<n - 1)) }

// decodePairs fills dst with the |is|^(4/3), signed, of one region of big values (2.4.3.4.6) and returns
// the position behind it. len(dst) is even.
func (t *tables) decodePairs(m *mainData, pos int, table uint8, dst []float32) int {
	tab := t.pairs[table&31]
	if tab == nil { // table 0 is all zeros; 4 and 14 are not used
		clear(dst)
		return pos
	}
	linbits := tab.linbits
	for i := 0; i < len(dst)-1; i += 2 {
		w := m.peek(pos) // 47 bits are the most that a pair takes
		e := tab.entry[w>>(64-rootBits)]
		if e >= link {
			for n := uint(rootBits); e >= link; {
				w <<= n
				pos += int(n)
				n = uint(e >> linkShift & 15)
				e = tab.entry[(uint64(e&linkMask)+w>>(64-n))&linkMask]
			}
		}
		n := uint(e >> 8)
		w <<= n & 63
		pos += int(n)
		x, y := uint32(e>>4&15), uint32(e&15)
		if linbits != 0 && (x == 15 || y == 15) {
			if x == 15 {
				x += uint32(w >> (64 - linbits))
				w <<= linbits
				pos += int(linbits)
			}
			sx := uint32(w >> 63) // the sign lies between the two: after x's linbits, before y's
			if x != 0 {
				w <<= 1
				pos++
			} else {
				sx = 0
			}
			if y == 15 {
				y += uint32(w >> (64 - linbits))
				w <<= linbits
				pos += int(linbits)
			}
			sy := uint32(w >> 63)
			if y != 0 {
				pos++
			} else {
				sy = 0
			}
			dst[i] = math.Float32frombits(t.pow43[x] | sx<<31)
			dst[i+1] = math.Float32frombits(t.pow43[y] | sy<<31)
			continue
		}
		// A value has a sign bit where it is not 0; without a branch, as both are as likely.
		nx, ny := (x+15)>>4, (y+15)>>4
		sx := uint32(w>>63) & nx
		w <<= nx
		sy := uint32(w>>63) & ny
		pos += int(nx + ny)
		dst[i] = math.Float32frombits(t.pow43[x] | sx<<31)
		dst[i+1] = math.Float32frombits(t.pow43[y] | sy<<31)
	}
	return pos
}

// decodeQuads decodes count1's quadruples into dst until the granule's bits end at limit or dst is full
// (2.4.3.4.6), and returns how many values it wrote. A quadruple that runs over the end is dropped.
func (t *tables) decodeQuads(m *mainData, pos, limit int, table uint8, dst []float32) int {
	q := &t.quads[table&1]
	i := 0
	for ; pos < limit && i+4 <= len(dst); i += 4 {
		w := m.peek(pos)
		e := uint(q[w>>58])
		n := e >> 4
		w <<= n
		pos += int(n)
		d := (*[4]float32)(dst[i:])
		for k := range d {
			b := uint32(e>>(3-k)) & 1
			d[k] = math.Float32frombits(b * (0x3f800000 | uint32(w>>63)<<31))
			w <<= b
			pos += int(b)
		}
		if pos > limit {
			clear(d[:])
			break
		}
	}
	return i
}
