package segment

import (
	"bytes"
	"fmt"
)

// sniffed is how many bytes are searched for a stream that was come into.
const sniffed = 64 << 10

// sniff says what a stream is by its first bytes, of which most may be in a segment; tags in front are passed over.
func sniff(in *input, most int) (parser, error) {
	for tag := tagSize(in); tag > 0; tag = tagSize(in) {
		if !in.skip(tag) {
			return nil, in.end()
		}
	}
	b := in.peek(4)
	if len(b) == 0 {
		return nil, in.end()
	}
	switch {
	case bytes.HasPrefix(b, []byte("OggS")):
		return &oggPages{in: in}, nil
	case bytes.HasPrefix(b, []byte("fLaC")):
		return &flacFrames{in: in}, nil
	case bytes.HasPrefix(b, []byte("\x1A\x45\xDF\xA3")):
		return &webmBlocks{in: in}, nil
	}
	if b := in.peek(8); len(b) >= 8 {
		switch string(b[4:8]) {
		case "ftyp", "styp", "moov":
			return &mp4Boxes{in: in, most: most}, nil
		}
	}
	head := bytes.Clone(b[:min(4, len(b))])
	for i := range sniffed {
		b := in.peek(i + 1)
		if len(b) <= i {
			break
		}
		if ok, _ := tsLinked(in, i); ok {
			in.drop(i)
			return &tsPackets{in: in}, nil
		}
		if b[i] != 0xff {
			continue
		}
		for _, f := range []heads{mpegFrames, adtsFrames} {
			if _, ok := f.linked(in, i); ok {
				in.drop(i)
				return &chain{heads: f, in: in}, nil
			}
		}
	}
	if in.err != nil && len(in.peek(0)) < sniffed {
		return nil, fmt.Errorf("cut a stream: %w: it begins with %q, and ends", ErrUnknown, head)
	}
	return nil, fmt.Errorf("cut a stream: %w: it begins with %q", ErrUnknown, head)
}
