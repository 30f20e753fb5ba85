package mp3

// granule is what the side information says of one channel's granule (2.4.1.7, 2.4.2.7), and the scale
// factors that its main data adds.
type granule struct {
	bits       int // part2_3_length: scale factors and Huffman codes
	pairs      int // big_values
	globalGain int
	scaleComp  int      // scalefac_compress
	blockType  uint8    // 0 normal, 1 start, 2 three short windows, 3 stop
	mixed      bool     // the two lowest subbands are of type 0
	table      [3]uint8 // of the regions of big values
	region     [2]int   // where the first two regions end, in lines
	windowGain [3]int   // subblock_gain
	preflag    bool
	scaleShift int   // quarter octaves a scale factor step: 2 or 4 (scalefac_scale)
	quadTable  uint8 // count1table_select

	// Scale factors in the order of their bands: long ones first, then the short ones' three windows.
	scale [39]uint8
	// where says, of an intensity frame's right channel, the is_pos of each band: nowhere if illegal.
	where [39]uint8
}

const nowhere = 0xff

// short reports whether the granule, apart from a mixed one's low end, has three short windows.
func (g *granule) short() bool { return g.blockType == 2 }

// longBands returns how many of its bands are long, and shortFrom the first short band (2.4.2.7; LSF
// 2.4.2.7): a mixed block's long part covers as much as three short bands.
func (g *granule) longBands(v Version) int {
	switch {
	case !g.short():
		return 22
	case !g.mixed:
		return 0
	case v == MPEG1:
		return 8
	}
	return 6
}

func (g *granule) shortFrom() int {
	switch {
	case !g.short():
		return 13
	case g.mixed:
		return 3
	}
	return 0
}

// sideInfo is a frame's side information (2.4.1.7; LSF 2.4.1.7).
type sideInfo struct {
	back  int           // main_data_begin, in bytes
	share [2][4]bool    // scfsi: granule 1 takes granule 0's scale factors
	gr    [2][2]granule // by granule and channel
}

// sideReader reads the at most 32 bytes of side information.
type sideReader struct {
	b   []byte
	pos int
}

func (r *sideReader) bits(n int) int {
	v := 0
	for ; n > 0; n-- {
		v = v<<1 | int(r.b[r.pos>>3]>>(7-r.pos&7)&1)
		r.pos++
	}
	return v
}

func (r *sideReader) bit() bool { return r.bits(1) != 0 }

// parse reads b, of exactly the header's sideSize. It reports whether the granules make sense; back is
// right in any case.
func (s *sideInfo) parse(h Header, bd *bands, b []byte) (ok bool) {
	r := sideReader{b: b}
	channels := h.Channels()
	granules := 2
	if h.Version == MPEG1 {
		s.back = r.bits(9)
		r.bits(7 - 2*channels) // private_bits
		for ch := range channels {
			for i := range s.share[ch] {
				s.share[ch][i] = r.bit()
			}
		}
	} else {
		s.back = r.bits(8)
		r.bits(channels)
		granules = 1
	}
	ok = true
	for gr := range granules {
		for ch := range channels {
			ok = s.gr[gr][ch].parse(h, bd, &r) && ok
		}
	}
	return ok
}

func (g *granule) parse(h Header, bd *bands, r *sideReader) bool {
	ok := true
	g.bits = r.bits(12)
	g.pairs = r.bits(9)
	if g.pairs > 288 {
		ok = false
	}
	g.globalGain = r.bits(8)
	if h.Version == MPEG1 {
		g.scaleComp = r.bits(4)
	} else {
		g.scaleComp = r.bits(9)
	}
	if r.bit() { // window_switching_flag
		g.blockType = uint8(r.bits(2))
		g.mixed = r.bit()
		if g.blockType == 0 { // reserved
			ok = false
		}
		g.table = [3]uint8{uint8(r.bits(5)), uint8(r.bits(5)), 0}
		for w := range g.windowGain {
			g.windowGain[w] = r.bits(3)
		}
		g.region = [2]int{g.impliedRegion(h, bd), 576}
	} else {
		g.blockType, g.mixed = 0, false
		for i := range g.table {
			g.table[i] = uint8(r.bits(5))
		}
		g.windowGain = [3]int{}
		n0 := r.bits(4) + 1
		n1 := n0 + r.bits(3) + 1
		g.region = [2]int{int(bd.long[n0]), int(bd.long[min(n1, 22)])}
	}
	g.preflag = h.Version == MPEG1 && r.bit()
	g.scaleShift = 2 + 2*r.bits(1)
	g.quadTable = uint8(r.bits(1))
	return ok
}

// impliedRegion is where region 0 ends when windows switch (2.4.2.7 on region0_count; LSF's tables give
// 54 lines to eight long bands, and the 2.5 extension reads the clause by its own tables throughout).
func (g *granule) impliedRegion(h Header, bd *bands) int {
	switch {
	case h.Version == MPEG25 && g.short() && !g.mixed:
		return int(bd.long[6])
	case h.Version == MPEG25 || h.Version == MPEG2 && !g.short():
		return int(bd.long[8])
	}
	return 36
}
