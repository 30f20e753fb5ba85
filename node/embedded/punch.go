package embedded

import (
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
)

// soonPunch and latePunch bound the wait before a peer that we have dialled
// through a relay is dialled so once more. libp2p tries for a direct connection
// once for each that comes through a relay, and the first may come before both
// have learned where they are seen.
const (
	soonPunch, latePunch = time.Second, 15 * time.Minute
	// maxPunched bounds the peers that are looked after so, at once.
	maxPunched = 64
)

// punch has peers that were reached through a relay alone reached through it
// again, ever less often, until they are connected directly or gone.
func (n *Host) punch() error {
	sub, err := n.host.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged), eventbus.BufSize(64))
	if err != nil {
		return err
	}
	n.peers.wg.Go(func() {
		defer sub.Close()
		under := map[peer.ID]bool{}
		done := make(chan peer.ID)
		for {
			select {
			case e := <-sub.Out():
				id := e.(event.EvtPeerConnectednessChanged).Peer
				if under[id] || len(under) == maxPunched || n.host.Network().Connectedness(id) != network.Limited || !n.reachedOut(id) {
					continue
				}
				under[id] = true
				n.peers.wg.Go(func() {
					n.reachAgain(id)
					select {
					case done <- id:
					case <-n.ctx.Done():
					}
				})
			case id := <-done:
				delete(under, id)
			case <-n.ctx.Done():
				return
			}
		}
	})
	return nil
}

// reachedOut tells whether we were the ones who dialled: the other side then
// tries for the hole.
func (n *Host) reachedOut(id peer.ID) bool {
	for _, c := range n.host.Network().ConnsToPeer(id) {
		if c.Stat().Limited && c.Stat().Direction == network.DirOutbound {
			return true
		}
	}
	return false
}

func (n *Host) reachAgain(id peer.ID) {
	for wait := soonPunch; ; wait = min(5*wait, latePunch) {
		select {
		case <-time.After(wait):
		case <-n.ctx.Done():
			return
		}
		old := n.host.Network().ConnsToPeer(id)
		if n.host.Network().Connectedness(id) != network.Limited || !n.reachedOut(id) {
			return
		}
		ctx, cancel := context.WithTimeout(n.ctx, dialing)
		_, err := n.host.Network().DialPeer(ctx, id)
		cancel()
		if err != nil {
			n.log.Debug("dial through a relay again", "peer", id, "err", err)
			continue
		}
		for _, c := range old { // what nobody uses
			if c.Stat().Limited && len(c.GetStreams()) == 0 {
				c.Close()
			}
		}
	}
}
