package seal

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"filippo.io/age"
)

// Archive is the DJ's own way back into everything she sealed: a
// post-quantum age identity, which stock age takes.
type Archive struct{ id *age.HybridIdentity }

// ArchiveRecipient is its public side. The zero value is no recipient: a
// track sealed to it opens by its file key alone.
type ArchiveRecipient struct{ r *age.HybridRecipient }

// NewArchive draws an archive identity.
func NewArchive() (Archive, error) {
	id, err := age.GenerateHybridIdentity()
	return Archive{id}, err
}

// ParseArchive reads the text form.
func ParseArchive(text string) (Archive, error) {
	id, err := age.ParseHybridIdentity(text)
	if err != nil {
		return Archive{}, errors.New("parse archive key: it does not begin with AGE-SECRET-KEY-PQ-1, or is damaged")
	}
	return Archive{id}, nil
}

// Reveal is the identity as `age -d -i` takes it.
func (a Archive) Reveal() string { return a.id.String() }

// Format hides the key from every verb.
func (Archive) Format(f fmt.State, _ rune) { io.WriteString(f, "(archive key)") }

// Recipient is what tracks are sealed to.
func (a Archive) Recipient() ArchiveRecipient { return ArchiveRecipient{a.id.Recipient()} }

// NoRecipient is the stanza of a track that has no archive key.
const NoRecipient = "playnode-none"

// Unarchived tells whether a track that begins so has no archive key.
func Unarchived(begin []byte) bool {
	return bytes.HasPrefix(begin, []byte("age-encryption.org/v1\n-> "+NoRecipient+"\n"))
}

// capture wraps a file key for the archive, and keeps it.
type capture struct {
	to  ArchiveRecipient
	key *FileKey
}

func (c capture) Wrap(fileKey []byte) ([]*age.Stanza, error) {
	if copy(c.key[:], fileKey) != len(c.key) || len(fileKey) != len(c.key) {
		return nil, fmt.Errorf("age file key of %d bytes", len(fileKey))
	}
	if c.to.r == nil {
		return []*age.Stanza{{Type: NoRecipient}}, nil
	}
	return c.to.r.Wrap(fileKey)
}

// NewTrack begins an age file on dst and returns its fresh file key. What is
// written to w is sealed; Close ends the file, and does not close dst.
func NewTrack(dst io.Writer, to ArchiveRecipient) (w io.WriteCloser, key FileKey, err error) {
	if w, err = age.Encrypt(dst, capture{to, &key}); err != nil {
		return nil, FileKey{}, fmt.Errorf("seal track: %w", err)
	}
	return w, key, nil
}

// maxHeader bounds the age header, in bytes; one stanza takes about 2 KiB.
const maxHeader = 8 << 10

// OpenTrack opens a whole sealed file of size bytes for reading anywhere. It
// checks the last chunk first, so that a file cut short is refused. Reads of
// the result give checked plaintext only, and are safe for concurrent use.
func OpenTrack(k FileKey, sealed io.ReaderAt, size int64) (plain io.ReaderAt, plainSize int64, err error) {
	defer k.Zero() // age goes on with a key of its own
	head := make([]byte, min(size, maxHeader))
	if _, err := io.ReadFull(io.NewSectionReader(sealed, 0, size), head); err != nil {
		return nil, 0, fmt.Errorf("open track: %w", err)
	}
	if !hasHeader(head) {
		return nil, 0, fmt.Errorf("open track: no age header: %w", ErrOpen)
	}
	Erasing(func() {
		plain, plainSize, err = age.DecryptReaderAt(sealed, size, age.NewInjectedFileKeyIdentity(k[:]))
	})
	if err != nil {
		return nil, 0, fmt.Errorf("open track: %w: %w", ErrOpen, err)
	}
	return erasingReaderAt{plain}, plainSize, nil
}

// erasingReaderAt reads as r does, and leaves nothing of the keys.
type erasingReaderAt struct{ r io.ReaderAt }

func (e erasingReaderAt) ReadAt(p []byte, off int64) (n int, err error) {
	Erasing(func() { n, err = e.r.ReadAt(p, off) })
	return n, err
}

// StreamTrack opens a sealed file from its beginning, while its end is still
// to come: each chunk is given once it has been checked, and only at io.EOF
// is it known that none is missing.
func StreamTrack(k FileKey, sealed io.Reader) (io.Reader, error) {
	defer k.Zero()
	head := make([]byte, maxHeader)
	n, err := io.ReadFull(sealed, head)
	if err != nil && err != io.ErrUnexpectedEOF {
		return nil, fmt.Errorf("open track: %w", err)
	}
	if !hasHeader(head[:n]) {
		return nil, fmt.Errorf("open track: no age header: %w", ErrOpen)
	}
	r, err := age.Decrypt(io.MultiReader(bytes.NewReader(head[:n]), sealed), age.NewInjectedFileKeyIdentity(k[:]))
	if err != nil {
		return nil, fmt.Errorf("open track: %w: %w", ErrOpen, err)
	}
	return r, nil
}

// hasHeader tells whether an age header ends in b, so that a parser never
// has to hold more than that.
func hasHeader(b []byte) bool {
	_, rest, ok := bytes.Cut(b, []byte("\n--- "))
	return ok && bytes.IndexByte(rest, '\n') >= 0
}
