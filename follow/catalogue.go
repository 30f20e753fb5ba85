package follow

import (
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/manifests"
)

// Catalogue is one verified version of what a name points at. It is shared:
// nobody changes it.
type Catalogue struct {
	Name ipns.Name
	DJ   manifests.DJ
	// Envelope is the CID that the name's record points at.
	Envelope cid.Cid
	// Chain is the verified roots, Head the head signed under the newest.
	Chain *manifests.Chain
	Head  *manifests.Head
	// Card is what the DJ says in public; nil where she says nothing.
	Card *manifests.Card
	// Selections are in the head's order.
	Selections []Selection
	// Refused are those of the head whose manifests lie below what was
	// accepted before; Selections has what was held of them, if anything.
	Refused []Refusal
}

// Refusal is a selection that a head was refused for, and why.
type Refusal struct {
	Label string
	Err   error // wraps ErrVerify
}

// Refusal is what of the version was refused, or nil; it wraps ErrVerify.
func (c *Catalogue) Refusal() error {
	var errs []error
	for _, r := range c.Refused {
		errs = append(errs, fmt.Errorf("%q stays as it was held: %w", r.Label, r.Err))
	}
	return errors.Join(errs...)
}

// Selection is one verified manifest and its tracks.
type Selection struct {
	ID    manifests.SelID
	Label string
	// Envelope is the manifest envelope's CID, Payload the payload's: its
	// identity.
	Envelope, Payload cid.Cid
	Manifest          *manifests.Manifest
	// Entries are all tracks, in order of their CID's digest.
	Entries []manifests.Entry
}

// Seq is the head's sequence.
func (c *Catalogue) Seq() uint64 { return c.Head.Seq }

// Stale tells whether the head's time has passed: shown, and used all the same.
func (c *Catalogue) Stale(now time.Time) bool { return now.Unix() >= c.Head.Exp }

// Selection finds one by its label.
func (c *Catalogue) Selection(label string) (*Selection, bool) {
	for i := range c.Selections {
		if c.Selections[i].Label == label {
			return &c.Selections[i], true
		}
	}
	return nil, false
}
