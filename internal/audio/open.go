package audio

import "io"

// Open opens a track for decoding. r holds the size bytes that Sealable gave; they and t are hostile.
// Reads end when r returns an error, so a caller that wants to cancel makes r fail.
func Open(r io.ReaderAt, size int64, t Track, opt Options) (Decoder, error) {
	return nil, ErrUnsupported
}
