package player

import (
	"context"
	"errors"

	"playnode/ipns"
	"playnode/manifests"
)

// Hear says what becomes of a set that goes on air in a playlist that plays.
type Hear int

const (
	// HearSets leaves the playlist for the set, and goes on with the playlist
	// behind it; PassSets never does, and OnlySets plays nothing else.
	HearSets Hear = iota
	PassSets
	OnlySets
)

var (
	// ErrNoSets says that nobody brings sets to this box.
	ErrNoSets = errors.New("nobody carries sets here yet")
	// ErrOffAir says that nothing is on air.
	ErrOffAir = errors.New("nothing is on air")

	errAway = errors.New("nothing more comes of it, and the DJ has not said that it is over")
)

// Sets brings what is on air to this box.
type Sets interface {
	// OnAir waits until a set of a selection is on air, and gives it from its
	// edge on. A set that is on air still is given again.
	OnAir(ctx context.Context, name ipns.Name, sel manifests.SelID) (Set, error)
}

// Set is a live set as it comes in. It is used by one goroutine.
type Set interface {
	// Next waits for the next of it: in order, each once, verified against
	// the DJ's chain. Who comes into a set is given its newest record first and
	// then, where that record's first segment is not what comes next, that
	// segment, which says how the media begins. The error is io.EOF after the
	// final segment, ctx's, or says that the set is not brought any more.
	Next(ctx context.Context) (LiveItem, error)
	Close() error
	// Recorded tells that the set is not on air: nothing of it comes by itself,
	// and Next is called when there is room for more. So a pause misses nothing,
	// and nobody is late.
	Recorded() bool
}

// LiveItem is the next of a set: a record, a segment with its head, or that
// segments are missing.
type LiveItem struct {
	// Record is in effect from its From on.
	Record *manifests.Live
	// Head announces the segment whose bytes Sealed are; they are only read.
	Head   *manifests.LiveHead
	Sealed []byte
	// Missing counts the segments that come next in order and have not come by
	// their deadline; they are not waited for any more.
	Missing int
}
