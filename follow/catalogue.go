package follow

import (
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
