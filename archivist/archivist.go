// Package archivist keeps catalogues alive for their DJs, and cannot read
// them: there is no path from here to a key.
//
// What comes in: names. What goes out: blocks and records, served to whoever
// asks by the node and the namer below. What is trusted: what follow trusts.
package archivist

import (
	"context"

	"github.com/ipfs/go-cid"

	"playnode/follow"
	"playnode/ipns"
	"playnode/node"
)

// Config is what an Archivist needs; all but Blocks' own fields are required.
type Config struct {
	Follow *follow.Follower
	Names  *ipns.Namer
	Blocks node.Blocks
}

// Archivist archives names. Safe for concurrent use.
type Archivist struct{ cfg Config }

// Report is what is held of one name.
type Report struct {
	Name ipns.Name
	Seq  uint64
	// Envelope is the CID that the name's record points at.
	Envelope cid.Cid
	// Blocks and Bytes are held; Missing blocks are not.
	Blocks  int
	Bytes   int64
	Missing int
}

// New makes an Archivist.
func New(cfg Config) *Archivist { return &Archivist{cfg} }

// Archive follows each name and returns when everything public of its newest
// version is held. It asks peers first; when none answers and ask is false,
// the record held is enough. There is a Report for each name also when err is
// not nil; err joins what went wrong.
func (a *Archivist) Archive(ctx context.Context, targets []string, ask bool, progress func(ipns.Name, follow.Progress)) ([]Report, error) {
	panic("soon")
}

// Run keeps what is followed in sync, re-puts the records and serves, until
// ctx ends.
func (a *Archivist) Run(ctx context.Context) error { panic("soon") }
