package embedded

import (
	"math"
	"net/netip"
	"runtime/debug"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
	"github.com/pbnjay/memory"
)

// Room is what libp2p may take of this box. The zero Room is an eighth of its
// memory, and half of the files that this process may open.
type Room struct {
	// Memory is in bytes, within 64 MiB and 1 GiB.
	Memory int64
	// Files is how many descriptors connections may hold, within 256 and
	// 4,096.
	Files int
}

const (
	leastMemory, mostMemory = 64 << 20, 1 << 30
	leastFiles, mostFiles   = 256, 4096
)

// orBox fills in what the box has, where nothing is said.
func (r Room) orBox() Room {
	if r.Memory == 0 {
		// GOMEMLIMIT, where it is set, is what we have of it.
		has := min(memory.TotalMemory(), uint64(debug.SetMemoryLimit(-1)))
		if r.Memory = int64(min(has, math.MaxInt64) / 8); has == 0 {
			r.Memory = 256 << 20 // the system would not say
		}
	}
	if r.Files == 0 {
		r.Files = maxFiles() / 2
	}
	r.Memory = min(max(r.Memory, leastMemory), mostMemory)
	r.Files = min(max(r.Files, leastFiles), mostFiles)
	return r
}

// high and low are the watermarks between which peers that nobody asked to
// keep are dropped: a connection to each MiB, 96 to 512.
func (r Room) high() int { return int(min(max(r.Memory>>20, 96), 512, int64(r.Files)/2)) }

// Whoever is dropped comes again: so few are at a time.
func (r Room) low() int { return r.high() - r.high()/8 }

// full is at how many that have come none is let in any more, before anything is
// said: a handshake costs both sides some 4 kB, and who comes when high is
// reached drops somebody 20 s later.
func (r Room) full() int { return r.high() + r.high()/8 }

// window is the first receive window of a yamux stream, in bytes, 256 KiB to
// 4 MiB: each bitswap message opens a fresh stream, and at 50 ms a window of
// 256 KiB is what a block waits for. A peer may fill it and never be read, so
// maxStreams of them are no more than the room.
func (r Room) window() uint32 {
	return uint32(min(max(r.Memory/maxStreams, 256<<10), 4<<20))
}

// manager holds what libp2p takes to the room, and each peer to a part of it.
func (r Room) manager() (network.ResourceManager, error) {
	limits := rcmgr.DefaultLimits
	boundServices(&limits)
	// Stock limits are 128 MiB and what is given above that, and take fewer
	// connections than the watermarks let stand.
	sys, more := &limits.SystemBaseLimit, &limits.SystemLimitIncrease
	sys.Memory, more.Memory = r.Memory, 0
	sys.Conns, more.Conns = 2*r.high(), 0
	sys.ConnsInbound, more.ConnsInbound = r.full(), 0
	sys.ConnsOutbound, more.ConnsOutbound = 3*r.high()/2, 0
	return rcmgr.NewResourceManager(rcmgr.NewFixedLimiter(limits.Scale(r.Memory, r.Files)), rcmgr.WithMetricsDisabled(),
		rcmgr.WithLimitPerSubnet([]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: building}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: building}, {PrefixLength: 48, ConnCount: 4 * building}}),
		rcmgr.WithConnRateLimiters(&rate.Limiter{
			NetworkPrefixLimits: []rate.PrefixLimit{{Prefix: netip.MustParsePrefix("127.0.0.0/8")}, {Prefix: netip.MustParsePrefix("::1/128")}}, // no bound
			SubnetRateLimiter: rate.SubnetLimiter{
				IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: oneHome()}},
				IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: oneHome()}},
				GracePeriod:      time.Minute,
			},
		}))
}

// building is how many connections one address may have: 32 boxes behind one
// router, each twice. Stock libp2p takes 8, and 16 at once.
const building = 64

// oneHome is how often one address may connect: all of a building at once after
// a power cut, by TCP and QUIC, and then as boxes come and go.
func oneHome() rate.Limit { return rate.Limit{RPS: 1, Burst: 2 * building} }
