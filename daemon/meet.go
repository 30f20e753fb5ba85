package daemon

import (
	"fmt"
	"slices"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/ipns"
	"playnode/meet"
	"playnode/node"
)

// small are the protocols that may go through a relay: what they carry is
// little. Blocks are not, and need a direct connection.
func small() []string {
	return []string{ipns.Protocol, fetch.HaveProtocol, leaseProtocol, meet.Protocol}
}

// startMeeting has the followers of names find one another until the daemon
// is closed. In a fleet that has an allowlist they know each other already.
func (d *Daemon) startMeeting(n *network) error {
	n.met = make(chan struct{})
	if len(d.repo.Config.Allow) > 0 {
		close(n.met)
		return nil
	}
	m, err := meet.New(meet.Config{
		Streams: n.node, Peers: n.node, Records: n.node, Company: n.node, Reach: n.node, Finder: n.node,
		Names: func() []string {
			names := []string{string(d.keys.Names()[0])} // a DJ is there for her own
			for _, f := range n.follow.Follows() {
				if !slices.Contains(names, f.Name.String()) {
					names = append(names, f.Name.String())
				}
			}
			for _, name := range n.visited() {
				if !slices.Contains(names, name.String()) {
					names = append(names, name.String())
				}
			}
			return names
		},
		Head: func(name string) cid.Cid {
			rec, err := n.names.Newest(ipns.Name(name))
			if err != nil {
				return cid.Undef
			}
			return rec.Value
		},
		Met:   func(peer string) { n.knows(d.life, peer) },
		Store: d.repo.Bucket("meet"), Quiet: !d.opt.Serve, Now: d.now, Log: d.log,
	})
	if err != nil {
		return fmt.Errorf("meet other followers: %w", err)
	}
	n.meeting = m
	go func() {
		defer close(n.met)
		if err := m.Run(d.life); d.life.Err() == nil {
			d.log.Error("meet other followers", "err", err)
		}
	}()
	return nil
}

// reachOf is the setting reach as node has it.
func reachOf(setting string) node.Reachability {
	if setting == "auto" {
		return ""
	}
	return node.Reachability(setting)
}

// look has a newly followed name's other followers looked for at once.
func (n *network) look() {
	if n.meeting != nil {
		n.meeting.Look()
	}
}

// Reach is how this box and its peers reach each other.
type Reach struct {
	// State is public (others can dial us), private or unknown.
	State string `json:"state"`
	// Near, Far and Relayed count the peers: near are on this box or in a
	// network that it is in, far the others, relayed those reached through a
	// relay alone.
	Near    int `json:"near"`
	Far     int `json:"far"`
	Relayed int `json:"relayed"`
	// Relays are the peers through which others reach us.
	Relays []string `json:"relays"`
}

func (n *network) reach() Reach {
	r := Reach{State: string(n.node.Reachability()), Relays: append([]string{}, n.node.Relays()...)}
	for _, p := range n.node.Connected() {
		switch {
		case n.node.Relayed(p):
			r.Relayed++
		case n.node.Near(p):
			r.Near++
		default:
			r.Far++
		}
	}
	return r
}
