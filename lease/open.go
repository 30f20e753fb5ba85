package lease

import (
	"crypto/rand"
	"fmt"
	"io"
	"math"

	"playnode/internal/seal"
	"playnode/manifests"
)

// SetKey opens one live set to whoever has it, without a lease: the live keys
// of an open set all come from it. Nothing else of its DJ's does, and neither
// it nor another record's key follows from a live key.
type SetKey struct {
	DJ   manifests.DJ
	Live manifests.LiveID
	key  seal.Key
}

// NewSetKey draws a set of a DJ's, and the key that is to open it.
func NewSetKey(dj manifests.DJ) SetKey {
	k := SetKey{DJ: dj, key: seal.NewKey()}
	rand.Read(k.Live[:])
	return k
}

// SetKeyOf is the key in a link.
func SetKeyOf(l manifests.OpenLink) SetKey { return SetKey{l.DJ, l.ID, l.Key} }

// Link is the link of what k opens; where it is found is the caller's to add.
func (k SetKey) Link() manifests.OpenLink {
	return manifests.OpenLink{DJ: k.DJ, ID: k.Live, Key: k.key}
}

// Format hides the key from every verb.
func (SetKey) Format(f fmt.State, _ rune) { io.WriteString(f, "(set key)") }

// live is LK of the record that has l's counters.
func (k SetKey) live(l *manifests.Live) seal.Key {
	return k.key.Derive(seal.OpenSet, l.DJ[:], l.Sel[:], l.Live[:], seal.U64(l.Gen), seal.U64(l.Cur), seal.U64(l.From))
}

// Tune opens a record of the set that the caller has verified; it never lapses.
// ErrRefused says that the key is another set's.
func (k SetKey) Tune(l *manifests.Live) (t *Tuned, err error) {
	seal.Erasing(func() {
		t = &Tuned{l: l, lk: k.live(l), Until: math.MaxInt64, Period: math.MaxInt64}
		if l.DJ != k.DJ || l.Live != k.Live || lid(t.lk, l) != l.LID {
			t.Close()
			t, err = nil, fmt.Errorf("tune to %s: the link's key does not open this set: %w", l.ID(), ErrRefused)
		}
	})
	return t, err
}
