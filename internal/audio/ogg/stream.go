package ogg

import (
	"bytes"
	"fmt"

	"playnode/internal/audio/frames"
)

// Stream decodes the pages of one logical stream as they come. It must not be used by two goroutines at once.
type Stream struct {
	unpacker
	kind   Kind
	serial uint32
	seq    uint32 // of the page before
	known  bool   // seq and at are
	fresh  bool   // no page has come: the stream begins with the next
	at     int64  // granule position reached
	drop   int    // sample frames that the beginning has too many
	warm   int    // sample frames that are silent until the codec is as one that has come from before
}

// NewStream reads the header pages, which are k's. Errors wrap ErrFormat or are the codec's.
func NewStream(head []byte, k Kind) (*Stream, error) {
	p := pages{w: frames.NewWindow(bytes.NewReader(head), int64(len(head)), min(window, MaxPage+len(head))), size: int64(len(head)), buf: MaxPage}
	_, headers, serial, _, err := p.headers([]Kind{k})
	if err != nil {
		return nil, err
	}
	s := &Stream{kind: k, serial: serial, fresh: true}
	if s.codec, err = k.Open(headers); err != nil {
		return nil, err
	}
	if k.Preskip != nil {
		s.drop = k.Preskip(headers[0])
	}
	return s, nil
}

// Codec is the stream's.
func (s *Stream) Codec() Codec { return s.codec }

// Reset says that what comes next is not what follows: a packet that goes on there is left out, and what the
// codec has to warm up for is silent.
func (s *Stream) Reset() {
	s.part, s.skip, s.known, s.fresh, s.drop, s.warm = s.part[:0], true, false, false, 0, s.kind.Warm
	s.codec.Reset()
}

// Decode gives out the samples of the packets that end in media's pages, in their order; they are out's until it
// returns. A packet that goes on behind media waits for what follows. It ends with an error of out's, or with one
// that wraps ErrDamaged.
func (s *Stream) Decode(media []byte, out func([]float32) error) error {
	damaged := s.damaged
	for len(media) > 0 {
		p, size, _ := parse(media)
		if size == 0 {
			damaged--
			i := bytes.Index(media[1:], []byte("OggS"))
			if i < 0 {
				break
			}
			media = media[1+i:]
			continue
		}
		media = media[size:]
		if p.serial != s.serial {
			continue
		}
		if err := s.page(p, out); err != nil {
			return err
		}
	}
	if s.damaged > damaged {
		return fmt.Errorf("%w: %d of its parts", ErrDamaged, s.damaged-damaged)
	}
	return nil
}

func (s *Stream) page(p page, out func([]float32) error) error {
	if s.known && s.seq+1 != p.seq {
		s.hole()
		s.warm = s.kind.Warm
	}
	have, err := s.decode(p)
	if err != nil {
		return err
	}
	ch := s.codec.Channels()
	n := int64(len(have) / ch)
	switch known := s.known; {
	case p.granule < 0:
	case known && p.flags&ends != 0 && p.granule >= s.at && p.granule-s.at < n:
		have = have[:int(p.granule-s.at)*ch] // the encoder's padding
	case s.fresh && s.kind.Preskip == nil && p.granule < n:
		have = have[int(n-p.granule)*ch:] // what the beginning has too many
	}
	s.seq, s.known, s.fresh = p.seq, true, s.fresh && p.granule < 0
	if p.granule >= 0 {
		s.at = p.granule
	} else {
		s.at += n
	}
	cut := min(s.drop, len(have)/ch)
	s.drop, have = s.drop-cut, have[cut*ch:]
	sound(have, have)
	quiet := min(s.warm, len(have)/ch)
	clear(have[:quiet*ch])
	s.warm -= quiet
	return out(have)
}
