// Package follow takes a name in and gives verified catalogues out, whole on
// this box and pinned there.
//
// What comes in: names and links from people, records from ipns, blocks from
// whoever has them. What goes out: catalogues whose every record is signed as
// the rules demand by keys of the DJ that was pinned at first contact. What
// is trusted: the DJ named in a link; without one, whoever the name points at
// when it is first followed.
package follow

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/ipns"
	"playnode/node"
)

var (
	// ErrNotFound says that a name is not followed, has no record that anyone
	// would give, or that blocks could not be had in time.
	ErrNotFound = errors.New("not found")
	// ErrVerify says that what a name points at breaks the rules: a
	// signature, a canonical form, a role, another DJ, a version below one
	// seen before. What was held stays.
	ErrVerify = errors.New("verification failed")
)

// Store keeps what is followed and the floors; internal/repo's Bucket
// satisfies it.
type Store interface {
	Get(key string) ([]byte, error) // nil, nil when absent
	Each(prefix string, f func(key string, value []byte) error) error
	// Apply is one durable transaction.
	Apply(puts map[string][]byte, deletes []string) error
}

// Dialer connects to addresses found in links and keeps them; node.Peers.
type Dialer interface {
	Connect(ctx context.Context, addr string) error
	OnConnect(f func(peer string))
}

// Config is what a Follower needs. All but Peers, Every, Parallel and Log are
// required.
type Config struct {
	Names *ipns.Namer
	// Fetch reads blocks from anywhere and keeps them in Blocks.
	Fetch  node.Getter
	Blocks node.Blocks
	Pinner node.Pinner
	Store  Store
	Now    func() time.Time
	Peers  Dialer
	// Every is how often Run asks by itself; 0 means 10 minutes.
	Every time.Duration
	// Parallel is how many blocks are sought at once; 0 means 24.
	Parallel int
	Log      *slog.Logger
}

// Follower follows names. Safe for concurrent use; one sync of a name runs at
// a time.
type Follower struct {
	cfg Config
}

// Progress counts one version while it is fetched.
type Progress struct {
	// Tracks of all selections; Held of them whole on this box.
	Tracks, Held int
	// Blocks and Bytes are of everything public in this version, as far as
	// it is known by now; Missing are the blocks not yet here.
	Blocks, Missing int
	Bytes           int64
}

// Status is one name followed.
type Status struct {
	Name ipns.Name
	// DJ is empty until first contact.
	DJ string
	// Seq and Envelope are of the newest version accepted, if any.
	Seq      uint64
	Envelope cid.Cid
	Progress Progress
	// Whole tells that this version is all here and pinned.
	Whole bool
	Stale bool
	// Since is when the newest version was accepted.
	Since time.Time
	// Err is how the last sync ended, nil when it ended well.
	Err error
}

// New makes a Follower and reads what is followed from Store.
func New(cfg Config) (*Follower, error) { panic("soon") }

// Follow begins to follow target: k51 text, an /ipns/ path, a playnode://
// link or an https link. A link's DJ is pinned, and its addresses are dialled
// and kept. It touches the network no further; Sync does.
func (f *Follower) Follow(ctx context.Context, target string) (ipns.Name, error) { panic("soon") }

// Unfollow ends it and drops the pins. Floors and the pinned DJ stay.
func (f *Follower) Unfollow(ctx context.Context, name ipns.Name) error { panic("soon") }

// Options say how Sync resolves.
type Options struct {
	// Ask asks the peers first and fails with ErrNotFound when none answers;
	// without it a record held is enough.
	Ask bool
	// Progress, when set, is called from one goroutine at a time.
	Progress func(Progress)
}

// Sync resolves name, verifies what it points at, fetches everything public
// of it and pins it. With an error the Catalogue is nil and what was held
// before stays in use. The error wraps ErrNotFound or ErrVerify, or
// node.ErrNoSpace.
func (f *Follower) Sync(ctx context.Context, name ipns.Name, opt Options) (*Catalogue, error) {
	panic("soon")
}

// Newest is the newest verified version from disk alone, also after a
// restart; ErrNotFound when there is none. All of its records are here; its
// tails may still be coming.
func (f *Follower) Newest(name ipns.Name) (*Catalogue, error) { panic("soon") }

// Follows lists what is followed, by name.
func (f *Follower) Follows() []Status { panic("soon") }

// OnNewer calls g, in a goroutine of its own, after each newly accepted
// version: its records, boxes and metadata are here, its tails may be coming.
func (f *Follower) OnNewer(g func(*Catalogue)) (stop func()) { panic("soon") }

// Run keeps every followed name in sync, on pushed records, when peers
// connect, and every Every, until ctx ends; its error is ctx's.
func (f *Follower) Run(ctx context.Context) error { panic("soon") }
