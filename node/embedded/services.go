package embedded

import (
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/host/autonat"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/holepunch"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
)

// frame is what something may take: streams each way, both ways, and bytes.
func frame(each, both int, memory int64) rcmgr.BaseLimit {
	return rcmgr.BaseLimit{StreamsInbound: each, StreamsOutbound: each, Streams: both, Memory: memory}
}

// growing is that much to each GiB.
func growing(l rcmgr.BaseLimit) rcmgr.BaseLimitIncrease {
	return rcmgr.BaseLimitIncrease{StreamsInbound: l.StreamsInbound, StreamsOutbound: l.StreamsOutbound, Streams: l.Streams, Memory: l.Memory}
}

// boundServices bounds what libp2p's own services take, with stock libp2p's
// numbers. They are here as it has them beside transports that no node here has.
func boundServices(limits *rcmgr.ScalingLimitConfig) {
	// buffered is what 32 streams of one peer may have in their windows.
	const buffered = 32 * (256<<20 + 16<<10)
	pinging := rcmgr.BaseLimit{StreamsInbound: 2, StreamsOutbound: 3, Streams: 4, Memory: buffered}
	for _, s := range []struct {
		service                string
		all, more, peer        rcmgr.BaseLimit // of the service; more is to each GiB
		protocols              []protocol.ID
		each, eachMore, eachOf rcmgr.BaseLimit // of each of its protocols
	}{
		{identify.ServiceName, frame(64, 128, 4<<20), frame(64, 128, 4<<20), frame(16, 32, 1<<20),
			[]protocol.ID{identify.ID, identify.IDPush}, frame(64, 128, 4<<20), frame(64, 128, 4<<20), frame(16, 32, buffered)},
		{ping.ServiceName, frame(64, 64, 4<<20), frame(64, 64, 4<<20), pinging,
			[]protocol.ID{ping.ID}, frame(64, 64, 4<<20), frame(64, 64, 4<<20), pinging},
		{autonat.ServiceName, frame(64, 64, 4<<20), frame(4, 4, 2<<20), frame(2, 2, 1<<20),
			[]protocol.ID{autonat.AutoNATProto}, frame(64, 64, 4<<20), frame(4, 4, 2<<20), frame(2, 2, 1<<20)},
		{holepunch.ServiceName, frame(32, 64, 4<<20), frame(8, 16, 4<<20), frame(2, 2, 1<<20),
			[]protocol.ID{holepunch.Protocol}, frame(32, 64, 4<<20), frame(8, 16, 4<<20), frame(2, 2, 1<<20)},
		{relay.ServiceName, frame(256, 256, 16<<20), frame(256, 256, 16<<20), frame(64, 64, 1<<20),
			[]protocol.ID{circuit.ProtoIDv2Hop, circuit.ProtoIDv2Stop}, frame(640, 640, 16<<20), frame(640, 640, 16<<20), frame(128, 128, 32<<20)},
	} {
		limits.AddServiceLimit(s.service, s.all, growing(s.more))
		limits.AddServicePeerLimit(s.service, s.peer, rcmgr.BaseLimitIncrease{})
		for _, p := range s.protocols {
			limits.AddProtocolLimit(p, s.each, growing(s.eachMore))
			limits.AddProtocolPeerLimit(p, s.eachOf, rcmgr.BaseLimitIncrease{})
		}
	}
}
