// Package netns is a world of boxes that this machine makes out of network
// namespaces: lines with a rate, a delay, jitter and loss, boxes that cannot
// be dialled, and programs that know of none of it. It is Linux's, and root's.
//
// Each box has a namespace and a cable to the world's router, which is one
// too. The kernel does what it can: tbf holds the rates, nft the doors. This
// kernel, like many small ones, has no netem, so a cable with a delay, jitter
// or loss is two TUN devices with a goroutine between them for each
// direction; any other is a veth pair. Both carry whole IP packets: TCP, QUIC
// and all else meet the same line.
//
// A box's address is outside of the private ranges, as a peer's on the
// internet is; nothing leads out of a world, and worlds do not meet. What a
// world leaves behind when its process is killed, the next one to open removes.
//
// What is trusted: ip, tc and nft, which must be installed. Nothing that a
// program in a box does reaches the network of the machine; its files and its
// CPU it shares.
package netns

import (
	"errors"
	"time"
)

// ErrUnsupported says that no world can be made here, and why: not Linux, not
// root, or a tool is missing.
var ErrUnsupported = errors.New("no network namespaces here")

// Line is a box's way to the router. What the router hands to another box
// takes that one's line as well: a round trip between two boxes takes twice
// the sum of both delays.
type Line struct {
	// Up and Down are in bytes a second, headers included, 0 for as fast as
	// the machine goes. Up to a tenth of a second's worth waits its turn, what
	// comes after that is dropped.
	Up, Down int64
	// Delay is of each direction; Jitter, at most, is added to it, drawn
	// anew for each packet; packets keep their order.
	Delay, Jitter time.Duration
	// Loss is the share of packets, from 0 to 1, that each direction loses.
	Loss float64
}

// emulated tells whether the line needs more than the kernel has.
func (l Line) emulated() bool { return l.Delay > 0 || l.Jitter > 0 || l.Loss > 0 }

// BoxConfig is what one box is.
type BoxConfig struct {
	Line
	// Undialable has the box let in only answers to what it sent itself.
	Undialable bool
	// NAT puts a home router before the box, which gives it a private address
	// and is undialable as well. Linux's keeps a port where it is free, so
	// that two such boxes can meet if both send first.
	NAT bool
	// Symmetric has that router send each conversation from another port,
	// drawn at random: nobody can tell which, and so meet the box half way.
	Symmetric bool
	// Web has that router let out nothing but TCP to the ports 80, 443 and
	// 8080, as the networks of guests do.
	Web bool
	// Home, unless it is empty, is shared: boxes with the same one are in one
	// subnet behind one router, whose line and kind are those of the first.
	Home string
}

// Config is a world.
type Config struct {
	// Boxes are in it, at most 65,536.
	Boxes []BoxConfig
	// Seed draws which packets are lost and how they jitter.
	Seed uint64
}

// Counters is what went over a box's line, in bytes, headers included: Sent
// before its losses, Received after them.
type Counters struct{ Sent, Received int64 }
