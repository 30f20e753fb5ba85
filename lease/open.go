package lease

import (
	"crypto/rand"
	"fmt"
	"io"
	"math"

	"playnode/internal/seal"
	"playnode/manifests"
)

// openKey opens one thing of a DJ's to whoever has it, without a lease.
type openKey struct {
	DJ  manifests.DJ
	ID  manifests.LiveID
	key seal.Key
}

func newOpenKey(dj manifests.DJ) openKey {
	k := openKey{DJ: dj, key: seal.NewKey()}
	rand.Read(k.ID[:])
	return k
}

// Link is the link of what k opens; where it is found is the caller's to add.
func (k openKey) Link() manifests.OpenLink {
	return manifests.OpenLink{DJ: k.DJ, ID: k.ID, Key: k.key}
}

// Format hides the key from every verb.
func (openKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(open key)") }

// SetKey opens one live set, ID: the live keys of an open set all come from it.
// Nothing else of its DJ's does, and neither it nor another record's key follows
// from a live key.
type SetKey struct{ openKey }

// NewSetKey draws a set of a DJ's, and the key that is to open it.
func NewSetKey(dj manifests.DJ) SetKey { return SetKey{newOpenKey(dj)} }

// SetKeyOf is the key in a link.
func SetKeyOf(l manifests.OpenLink) SetKey { return SetKey{openKey{l.DJ, l.ID, l.Key}} }

// Recording is the key of the excerpt that is the set itself, once that is over.
func (k SetKey) Recording() ExcerptKey { return ExcerptKey(k) }

// live is LK of the record that has l's counters.
func (k SetKey) live(l *manifests.Live) seal.Key {
	return k.key.Derive(seal.OpenSet, l.DJ[:], l.Sel[:], l.Live[:], seal.U64(l.Gen), seal.U64(l.Cur), seal.U64(l.From))
}

// Tune opens a record of the set that the caller has verified; it never lapses.
// ErrRefused says that the key is another set's.
func (k SetKey) Tune(l *manifests.Live) (t *Tuned, err error) {
	seal.Erasing(func() {
		t = &Tuned{l: l, lk: k.live(l), Until: math.MaxInt64, Period: math.MaxInt64}
		if l.DJ != k.DJ || l.Live != k.ID || lid(t.lk, l) != l.LID {
			t.Close()
			t, err = nil, fmt.Errorf("tune to %s: the link's key does not open this set: %w", l.ID(), ErrRefused)
		}
	})
	return t, err
}
