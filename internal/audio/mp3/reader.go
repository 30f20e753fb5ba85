package mp3

import "io"

// Frame is one frame found in a stream.
type Frame struct {
	Header
	Offset int64  // of its first byte in the stream
	Data   []byte // the whole frame; the reader's own, valid until the next call
}

// Reader finds the frames in a stream: it steps over ID3v2, APEv2 and ID3v1 tags and any other bytes
// and synchronises anew after damage. It reads no more than it needs and holds a bounded buffer.
type Reader struct {
	r io.Reader
}

// NewReader returns a Reader of r, from which it reads in chunks.
func NewReader(r io.Reader) *Reader { return &Reader{r: r} }

// Next returns the next frame, of any layer. At the stream's end the error is io.EOF; a last frame that
// is cut short is not returned. An error of the underlying reader is returned as it is.
func (r *Reader) Next() (Frame, error) { return Frame{}, io.EOF }

// Skipped returns how many bytes so far belonged to no frame.
func (r *Reader) Skipped() int64 { return 0 }
