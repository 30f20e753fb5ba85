// Package node is the floor that all roles stand on: blocks, pins, values,
// streams, topics and peers, as small interfaces apart from one another.
//
// What comes in: CIDs, blocks, and multiaddrs as text. What goes out: bytes
// whose hash has been checked against the CID that was asked for, and peers'
// identities as the transport proved them. What is trusted: nothing that a
// peer says; a block is bytes that hash to their CID, and no more than that.
//
// Implementations: node/memory (one process, for tests and simulated worlds),
// node/embedded (a whole libp2p and bitswap peer, and without blocks its host
// alone), node/kubo (a running Kubo by its RPC) and node/http (a client of trustless gateways). All pass the
// kit in node/nodetest.
package node

import (
	"context"
	"errors"
	"io"
	"time"

	"github.com/ipfs/go-cid"
)

// MaxBlock is the largest block, in bytes, that is ever read, stored or
// accepted from a peer.
const MaxBlock = 2 << 20

var (
	// ErrNotFound says that no source had the block or value in time.
	ErrNotFound = errors.New("not found")
	// ErrVerify says that bytes did not hash to their CID.
	ErrVerify = errors.New("bytes do not match their CID")
	// ErrNoSpace says that the disk is full; nothing held was lost.
	ErrNoSpace = errors.New("no space left on disk")
)

// Class says what a block is wanted for; smaller is more urgent.
type Class uint8

const (
	// Now is for the playhead's next seconds.
	Now Class = iota
	// Next is for heads of tracks, and the track that follows.
	Next
	// Soon is for today's schedule.
	Soon
	// Later is for everything else.
	Later
)

// Want says what a read is for and by when its bytes are needed. The zero
// Deadline means as soon as its class allows. A Want steers order and choice
// of source; it never makes a read fail.
type Want struct {
	Class    Class
	Deadline time.Time
}

// Block is bytes under the CID that they hash to.
type Block struct {
	CID  cid.Cid
	Data []byte
}

// Getter reads one block from wherever it is soonest had.
type Getter interface {
	// Get returns the block's verified bytes, which the caller must not
	// change. It blocks until they are here or ctx ends; a source that is
	// known to be unable answers with an error that wraps ErrNotFound.
	// Safe for concurrent use.
	Get(ctx context.Context, c cid.Cid, w Want) ([]byte, error)
}

// Streamer is a source that gives a whole graph in one answer, where that is
// quicker than block by block.
type Streamer interface {
	// Stream calls f for each block of the graph below root, in order and one
	// at a time, each verified and linked from one before; repeats are left
	// out. It ends with f's error, with ErrVerify for a source that sends
	// anything else, with ErrNotFound where the source has not all of it or
	// gives no streams, or with ctx's. What f was given before stays good; f
	// may keep it.
	Stream(ctx context.Context, root cid.Cid, f func(Block) error) error
}

// Putter writes blocks.
type Putter interface {
	// Put stores the blocks durably: after it returns nil a power cut loses
	// none of them. Bytes that do not hash to their CID are refused with
	// ErrVerify and nothing of the call is stored. Safe for concurrent use.
	Put(ctx context.Context, blocks ...Block) error
}

// Keeper is a Putter that believes its caller, where hashing everything once
// more is dear.
type Keeper interface {
	// Keep is Put for blocks whose bytes the caller has itself hashed to their
	// CIDs, since they came here. They are not hashed again; what Put refuses
	// whatever the bytes is refused.
	Keep(ctx context.Context, blocks ...Block) error
}

// Blocks is the store on this box.
type Blocks interface {
	Putter
	// Has tells whether the block is held here, without reading it.
	Has(ctx context.Context, c cid.Cid) (bool, error)
	// Read returns a block held here, verified. It never asks a peer. A
	// block that is absent, or whose bytes on disk no longer match (it is
	// then removed, so that it can be fetched again), gives ErrNotFound; in
	// the second case the error wraps ErrVerify as well.
	Read(ctx context.Context, c cid.Cid) ([]byte, error)
	// Delete removes a block; an absent one is no error.
	Delete(ctx context.Context, c cid.Cid) error
}

// Lender is Blocks that lend what memory they read into, where much is read and
// soon done with.
type Lender interface {
	// Lend is Read of bytes that are the lender's again, and may change, once
	// free is called: once, and not after an error. There is no room behind them.
	Lend(ctx context.Context, c cid.Cid) (data []byte, free func(), err error)
}

// Pin keeps everything below Root, under a name that people can read.
type Pin struct {
	Name string
	Root cid.Cid
}

// Pinner keeps graphs from being collected.
type Pinner interface {
	// Pin keeps the whole graph below p.Root, which must be held already;
	// a missing block gives ErrNotFound and no pin. Durable on return.
	Pin(ctx context.Context, p Pin) error
	// Unpin removes one pin; an absent one is no error.
	Unpin(ctx context.Context, p Pin) error
	// Pins lists all pins.
	Pins(ctx context.Context) ([]Pin, error)
}

// Copy is a pin that a service elsewhere was asked for.
type Copy struct {
	// ID is what the service calls it.
	ID  string
	Pin Pin
	// State is one of the states below, by the service's own word.
	State string
	// Ours tells that it was asked for by this box.
	Ours bool
	// Delegates are the service's peers that will fetch it, not verified.
	Delegates []string
}

// The states of a Copy.
const (
	CopyQueued  = "queued"
	CopyPinning = "pinning"
	CopyPinned  = "pinned"
	CopyFailed  = "failed"
)

// Copies is a service elsewhere that pins what it is asked to, in its own time.
type Copies interface {
	// Copies lists the pins of a name.
	Copies(ctx context.Context, name string) ([]Copy, error)
	// Of lists those of a root, whoever asked for it under whatever name.
	Of(ctx context.Context, root cid.Cid) ([]Copy, error)
	// Add asks for one more, whose blocks are had at origins, full
	// multiaddrs. It does not wait for them.
	Add(ctx context.Context, p Pin, origins []string) (Copy, error)
	// Remove takes back what was asked for; what is gone is no error.
	Remove(ctx context.Context, id string) error
}

// Held is all that is on this box, pinned or not; of a store that others use
// as well, what our pins reach.
type Held interface {
	// Each calls f for each block held, in no order, until f fails, whose
	// error it returns. Blocks that come or go meanwhile may or may not be
	// told of. A CID's codec is raw where the store knows only its hash.
	Each(ctx context.Context, f func(c cid.Cid, size int64) error) error
	// Used is what the blocks take here, in bytes.
	Used(ctx context.Context) (int64, error)
	// Release says which blocks held nobody here wants any more. Those that
	// every call has named for the store's grace, and that no peer has asked
	// for or been told of in that time, are deleted and counted; one that was
	// put or read here meanwhile is not. So a peer that was told of a block
	// can still have it, and what is just being written is safe. A store that
	// others use as well leaves all of it to their collection, and frees none.
	Release(ctx context.Context, unwanted []cid.Cid) (freed int, bytes int64, err error)
}

// Values is the routing system's signed-record store (a DHT). Keys are
// routing keys such as "/ipns/<multihash>". Values are not verified here:
// the caller verifies.
type Values interface {
	PutValue(ctx context.Context, key string, value []byte) error
	GetValue(ctx context.Context, key string) ([]byte, error)
}

// Stream is one bidirectional stream to a peer. It is an alias so that other
// rooms can declare the same type beside their own interfaces.
type Stream = interface {
	io.ReadWriteCloser
	// CloseWrite ends our side; the peer reads io.EOF.
	CloseWrite() error
	// Reset drops the stream at once, both ways.
	Reset() error
	// SetDeadline bounds reads and writes by the wall clock.
	SetDeadline(t time.Time) error
}

// Streams speaks small protocols with peers. A peer is its peer id as text
// ("12D3Koo..."), proved by the transport.
type Streams interface {
	// Handle serves protocol until the node closes. h runs in a goroutine
	// of its own for each stream and owns it; the node bounds how many.
	Handle(protocol string, h func(peer string, s Stream))
	// Open opens a stream to a connected or dialable peer.
	Open(ctx context.Context, peer, protocol string) (Stream, error)
}

// MaxMessage is the largest message of a topic, in bytes.
const MaxMessage = 1 << 20

// Topics is publish and subscribe. Messages have at most MaxMessage bytes and
// come from anyone; peer is the author, as its signature proved.
type Topics interface {
	// Publish hands data to the subscribers that can be reached from here.
	// It does not wait for them, and subscribing oneself is not needed.
	// What one node publishes leaves it in order.
	Publish(ctx context.Context, topic string, data []byte) error
	// Subscribe calls h for each message of others, one call at a time, until
	// ctx ends (its error is returned then) or the node closes. A message
	// goes on to further subscribers only if h returns true for it: h
	// verifies, and is quick. A subscriber that is slow, or was not yet known
	// to its neighbours, misses messages. A topic has one Subscribe at a
	// time; a second fails at once.
	Subscribe(ctx context.Context, topic string, h func(peer string, data []byte) bool) error
}

// Peers is who is here.
type Peers interface {
	// ID is our own peer id.
	ID() string
	// Addrs are full multiaddrs that end in /p2p/ID, TCP first. Where blocks are
	// with another peer, an attached Kubo, those of that one are among them.
	Addrs() []string
	// Connect dials a full multiaddr and keeps the peer connected,
	// redialling with backoff while the node lives.
	Connect(ctx context.Context, addr string) error
	// Connected lists the peers connected now.
	Connected() []string
	// OnConnect calls f, in a goroutine of its own, for each peer that
	// connects from now on, and once for each connected now.
	OnConnect(f func(peer string))
}

// Traffic is what a node has sent and received, in bytes of block data.
type Traffic struct {
	Sent, Received int64
	// BySource splits Received by where the bytes came from: "bitswap",
	// "http" and so on.
	BySource map[string]int64
}
