package mp3

// quantiser is how a subband's samples are coded in Layers I and II: with levels steps, in bits a sample, or
// of three samples together where they are grouped (table B.4 of 2.4.3.3; 2.4.3.2.1). 0 levels are silence.
type quantiser struct {
	levels, bits int
	grouped      bool
}

// The quantisers by allocation (tables B.2; LSF tables B.1), as levels. Each row is one length of code.
var allocations = [6][]uint16{
	{0, 3, 7, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095, 8191, 16383, 32767, 65535},
	{0, 3, 5, 7, 9, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095, 8191, 65535},
	{0, 3, 5, 7, 9, 15, 31, 65535},
	{0, 3, 5, 65535},
	{0, 3, 5, 9, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095, 8191, 16383, 32767},
	{0, 3, 5, 7, 9, 15, 31, 63, 127, 255, 511, 1023, 2047, 4095, 8191, 16383},
}

// groupBits is the length of three samples together, by their levels (table B.4).
var groupBits = [10]int{3: 5, 5: 7, 9: 10}

// band12 says that up to a subband an allocation of so many bits picks from a row.
type band12 struct{ end, bits, row int }

// Layer II's tables: B.2a (b is longer), B.2c (d is longer), LSF's B.1.
var (
	tableA   = []band12{{3, 4, 0}, {11, 4, 1}, {23, 3, 2}, {32, 2, 3}}
	tableC   = []band12{{2, 4, 4}, {32, 3, 4}}
	tableLow = []band12{{4, 4, 5}, {11, 3, 4}, {32, 2, 4}}
)

// allocation12 returns Layer II's table and how many subbands it has (2.4.3.3.1, by bit rate a channel).
func allocation12(h Header, bitrate int) ([]band12, int) {
	each := bitrate / h.Channels()
	switch {
	case h.Version != MPEG1:
		return tableLow, 30
	case h.Rate == 48000 && each >= 56000, each >= 56000 && each <= 80000:
		return tableA, 27
	case h.Rate != 48000 && each >= 96000:
		return tableA, 30
	case h.Rate != 32000 && each <= 48000:
		return tableC, 8
	}
	return tableC, 12
}

// layers12 decodes a frame of Layer I or II (2.4.1.5, 2.4.1.6, 2.4.3.2, 2.4.3.3) into dst. If it makes no
// sense nothing is written.
func (d *Decoder) layers12(h Header, frame []byte, dst []float32) error {
	channels := h.Channels()
	size := copy(d.main[:mainCap], frame)
	d.held = 0
	pos := 8 * h.sideStart()
	bound := 32 // from here on both channels share their samples (2.4.2.3, mode_extension)
	if h.Mode == Joint {
		bound = 4 * (1 + int(frame[3]>>4&3))
	}

	per, limit := 1, 32 // samples of a subband that lie together, and subbands
	table := []band12{{32, 4, 0}}
	if h.Layer == 2 {
		bitrate := h.Bitrate
		if bitrate == 0 {
			bitrate = len(frame) * 8 * h.Rate / h.Samples()
		}
		per = 3
		table, limit = allocation12(h, bitrate)
	}
	bound = min(bound, limit)
	var coded [2][32]quantiser
	part := table
	for sb := range limit {
		for sb >= part[0].end {
			part = part[1:]
		}
		for ch := range channels {
			if ch == 1 && sb >= bound {
				coded[1][sb] = coded[0][sb]
				continue
			}
			a := d.main.bits(pos, part[0].bits)
			pos += part[0].bits
			q := &coded[ch][sb]
			switch {
			case h.Layer == 2:
				q.levels = int(allocations[part[0].row][a])
				q.grouped = q.levels == 3 || q.levels == 5 || q.levels == 9
			case a == 15: // forbidden
				return ErrDamaged
			case a > 0:
				q.levels = 2<<a - 1
			}
			for ; q.levels >= 1<<q.bits; q.bits++ {
			}
			if q.grouped {
				q.bits = groupBits[q.levels]
			}
		}
	}

	// scfsi (2.4.2.6): which of the three parts' scale factors are sent.
	var share [2][32]int
	for sb := range limit {
		for ch := range channels {
			share[ch][sb] = 2 // Layer I sends one
			if h.Layer == 2 && coded[ch][sb].levels > 0 {
				share[ch][sb] = d.main.bits(pos, 2)
				pos += 2
			}
		}
	}
	if d.CheckCRC && h.Protected {
		crc := checksum(0xffff, frame[2:HeaderSize])
		if d.main.checksum(crc, 8*h.sideStart(), pos) != uint16(frame[4])<<8|uint16(frame[5]) {
			return ErrCRC
		}
	}
	var scale [2][3][32]float32
	need := 0
	for sb := range limit {
		for ch := range channels {
			q := coded[ch][sb]
			if q.levels == 0 {
				continue
			}
			if ch == 0 || sb < bound {
				need += 12 * q.bits
				if h.Layer == 2 && !q.grouped {
					need += 24 * q.bits
				}
			}
			next := func() float32 {
				s := d.t.scale[d.main.bits(pos, 6)]
				pos += 6
				return s / float32(q.levels)
			}
			s := [3]float32{next()}
			s[1], s[2] = s[0], s[0]
			switch share[ch][sb] {
			case 0:
				s[1] = next()
				s[2] = next()
			case 1:
				s[2] = next()
			case 3:
				s[1] = next()
				s[2] = s[1]
			}
			for i := range s {
				scale[ch][i][sb] = s[i]
			}
		}
	}
	if pos+need > 8*size {
		return ErrDamaged
	}

	d.sub = [2][slots * 32]float32{}
	slot := 0
	for gr := range 12 {
		for sb := range limit {
			var raw [3]int
			for ch := range channels {
				q := coded[ch][sb]
				if q.levels == 0 {
					continue
				}
				switch {
				case ch == 1 && sb >= bound: // raw is channel 0's
				case q.grouped:
					v := d.main.bits(pos, q.bits)
					raw = [3]int{v % q.levels, v / q.levels % q.levels, v / (q.levels * q.levels)}
					pos += q.bits
				default:
					for i := range per {
						raw[i] = d.main.bits(pos, q.bits)
						pos += q.bits
					}
				}
				for i := range per {
					v := 2*raw[i] - (q.levels - 1)
					d.sub[ch][(slot+i)*32+sb] = float32(v) * scale[ch][gr/4][sb]
				}
			}
		}
		if slot += per; slot == slots || gr == 11 {
			for ch := range channels {
				d.rows[ch].synth(d.t, &d.sub[ch], slot, dst[ch:], channels)
			}
			dst = dst[slot*32*channels:]
			slot = 0
		}
	}
	return nil
}

// silence12 writes a frame of Layer I or II as if nothing had been coded in it.
func (d *Decoder) silence12(h Header, dst []float32) {
	channels := h.Channels()
	d.sub = [2][slots * 32]float32{}
	for left := h.Samples() / 32; left > 0; {
		n := min(left, slots)
		for ch := range channels {
			d.rows[ch].synth(d.t, &d.sub[ch], n, dst[ch:], channels)
		}
		left -= n
		dst = dst[n*32*channels:]
	}
}
