package mp3

// Decoder decodes the frames of one stream in their order. The zero value is ready.
// It must not be used by two goroutines at once.
type Decoder struct {
	// CheckCRC refuses frames whose check word does not fit, with ErrCRC. Off, the word is skipped, as
	// other decoders do: some encoders write it wrong.
	CheckCRC bool

	t      *tables
	side   sideInfo
	main   mainData
	held   int  // bytes in main that are left of earlier frames: the reservoir
	stereo bool // channel 1 holds state

	raw  [576]float32           // decoded values, in the order of the stream
	freq [2][576]float32        // lines, in the order of frequency
	sub  [2][slots * 32]float32 // subband samples, a time slot after the other
	over [2][32][18]float32     // the overlap of 2.4.3.4.10.4
	rows [2]rows                // the synthesis' history
}

// reservoirSize is how far main_data_begin reaches back: 9 bits of bytes.
const reservoirSize = 511

// Decode decodes one whole frame, header included, into dst as interleaved samples and returns how many
// a channel it wrote: the header's Samples, of its Channels. dst must hold them; MaxSamples*2 always do.
// frame is only read, and not kept. Bytes beyond the header's Size are ignored; in free format the slice
// ends where the frame does.
//
// With ErrReservoir, ErrDamaged or ErrCRC n is as without and the samples that could not be had are
// silent, but for what the frame before them left to overlap: a caller that plays on simply writes them.
// With every other error n is 0 and nothing changed.
func (d *Decoder) Decode(frame []byte, dst []float32) (n int, err error) {
	h, err := ParseHeader(frame)
	if err != nil {
		return 0, err
	}
	if h.Layer != 3 && h.Version == MPEG25 {
		return 0, ErrLayer
	}
	n = h.Samples()
	channels := h.Channels()
	if len(dst) < n*channels {
		return 0, ErrShort
	}
	if d.t == nil {
		d.t = loadTables()
	}
	if channels == 1 && d.stereo { // or channel 1 would remember across a stretch of mono
		d.over[1], d.rows[1] = [32][18]float32{}, rows{}
	}
	d.stereo = channels == 2

	whole := true
	if size := h.Size(); size > 0 {
		whole = len(frame) >= size
		frame = frame[:min(len(frame), size)]
	}
	if len(frame) > MaxFrame {
		frame, whole = frame[:MaxFrame], false
	}
	if h.Layer != 3 {
		if err = ErrDamaged; whole && len(frame) >= h.sideStart() {
			err = d.layers12(h, frame, dst)
		}
		if err != nil {
			d.silence12(h, dst)
		}
		return n, err
	}
	start := h.sideStart() + h.sideSize()
	if len(frame) < start {
		d.held = 0
		d.silence(h, 0, dst)
		return n, ErrDamaged
	}

	bd := &bandTable[h.Version][rateIndex(frame)]
	ok := d.side.parse(h, bd, frame[h.sideStart():start])
	pos, reached := d.held-d.side.back, d.held >= d.side.back
	end := d.held + copy(d.main[d.held:mainCap], frame[start:])
	granules := n / 576
	switch {
	case d.CheckCRC && h.Protected && !checksumFits(h, frame):
		err = ErrCRC
	case !ok || !whole:
		err = ErrDamaged
	case !reached:
		err = ErrReservoir
	}
	gr := 0
	for bit := 8 * pos; gr < granules && err == nil; gr++ {
		if bit, ok = d.granule(h, bd, gr, bit, 8*end, dst[gr*576*channels:]); !ok {
			err = ErrDamaged
			break
		}
	}
	d.silence(h, gr, dst)

	d.held = min(end, reservoirSize)
	copy(d.main[:d.held], d.main[end-d.held:end])
	return n, err
}

// granule decodes one granule of all channels from bit on into dst and returns the position behind it. If it
// makes no sense ok is false and nothing was written.
func (d *Decoder) granule(h Header, bd *bands, gr, bit, limit int, dst []float32) (next int, ok bool) {
	channels := h.Channels()
	var nz [2]int
	offset := 0
	if h.MidSide && !h.Intensity {
		offset = -2 // 1/sqrt(2), with the exponents
	}
	for ch := range channels {
		g := &d.side.gr[gr][ch]
		end := bit + g.bits
		if end > limit {
			return 0, false
		}
		pos := bit
		if h.Version != MPEG1 {
			pos = g.readScaleLow(&d.main, pos, ch == 1 && h.Intensity)
		} else if gr == 1 {
			pos = g.readScale(&d.main, pos, &d.side.gr[0][ch], &d.side.share[ch])
		} else {
			pos = g.readScale(&d.main, pos, nil, nil)
		}
		last, ok := d.spectrum(g, pos, end)
		if !ok {
			return 0, false
		}
		nz[ch] = g.requantise(d.t, h.Version, bd, &d.raw, &d.freq[ch], last, offset)
		bit = end
	}
	if h.MidSide || h.Intensity {
		nz[0] = max(nz[0], nz[1])
		nz[1] = nz[0]
		if h.Intensity {
			d.t.intensity(h, bd, &d.side.gr[gr][1], &d.freq[0], &d.freq[1])
		} else {
			midSide(d.freq[0][:nz[0]], d.freq[1][:nz[0]])
		}
	}
	for ch := range channels {
		g := &d.side.gr[gr][ch]
		d.t.hybrid(g, nz[ch], &d.freq[ch], &d.over[ch], &d.sub[ch])
		d.rows[ch].synth(d.t, &d.sub[ch], slots, dst[ch:], channels)
	}
	return bit, true
}

// spectrum decodes the Huffman codes from pos to end into raw (2.4.3.4.6) and returns from where it is
// zero. It reports whether the codes kept within their bits.
func (d *Decoder) spectrum(g *granule, pos, end int) (nz int, ok bool) {
	big := 2 * g.pairs
	from := 0
	for i, to := range [3]int{g.region[0], g.region[1], big} {
		to = min(to, big)
		if to > from {
			pos = d.t.decodePairs(&d.main, pos, g.table[i], d.raw[from:to])
			from = to
		}
		if pos > end {
			return 0, false
		}
	}
	nz = big + d.t.decodeQuads(&d.main, pos, end, g.quadTable, d.raw[big:])
	clear(d.raw[nz:])
	return nz, true
}

// silence writes the granules from gr on as if nothing had been coded in them.
func (d *Decoder) silence(h Header, gr int, dst []float32) {
	channels := h.Channels()
	var g granule
	for ; gr < h.Samples()/576; gr++ {
		for ch := range channels {
			d.freq[ch] = [576]float32{}
			d.t.hybrid(&g, 0, &d.freq[ch], &d.over[ch], &d.sub[ch])
			d.rows[ch].synth(d.t, &d.sub[ch], slots, dst[gr*576*channels+ch:], channels)
		}
	}
}

// Reset forgets the reservoir and the filter banks, as before the first frame.
func (d *Decoder) Reset() {
	d.held = 0
	d.over = [2][32][18]float32{}
	d.rows = [2]rows{}
}

// rateIndex is the header's sampling_frequency, which ParseHeader found not to be reserved.
func rateIndex(frame []byte) int { return min(int(frame[2]>>2&3), 2) }
