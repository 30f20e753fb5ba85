package seal

import (
	"fmt"
	"io"

	"filippo.io/age"
)

// SealPassphrase begins an age file on dst that a passphrase opens, also with
// stock age. Close ends the file, and does not close dst.
func SealPassphrase(dst io.Writer, passphrase string) (io.WriteCloser, error) {
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		return nil, fmt.Errorf("seal with passphrase: %w", err)
	}
	w, err := age.Encrypt(dst, r)
	if err != nil {
		return nil, fmt.Errorf("seal with passphrase: %w", err)
	}
	return w, nil
}

// OpenPassphrase opens what SealPassphrase, or stock age, sealed. ErrOpen says
// that the passphrase is another, or the file none.
func OpenPassphrase(src io.Reader, passphrase string) (io.Reader, error) {
	id, err := age.NewScryptIdentity(passphrase)
	if err != nil {
		return nil, fmt.Errorf("open with passphrase: %w", err)
	}
	r, err := age.Decrypt(src, id)
	if err != nil {
		return nil, fmt.Errorf("open with passphrase: %w: %w", ErrOpen, err)
	}
	return r, nil
}
