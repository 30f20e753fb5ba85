package publisher

import (
	"encoding/json"
	"fmt"

	"github.com/ipfs/go-cid"
)

// Head is the newest head's envelope and sequence; undefined and zero before
// the first.
func (p *Publisher) Head() (env cid.Cid, seq uint64, err error) {
	var h headRow
	if _, err := load(p.cfg.Store, rowHead, &h); err != nil {
		return cid.Undef, 0, fmt.Errorf("newest head: %w", err)
	}
	return h.Env, h.Seq, nil
}

// Roots are the blocks below which lies all that the DJ has sealed and signed
// last: her newest head and revisions, every track and preview of her library,
// listed or not, and the segments of a set that is no track yet. They
// are never let go.
func (p *Publisher) Roots() (roots []cid.Cid, err error) {
	head, _, err := p.Head()
	if err != nil {
		return nil, err
	}
	if head.Defined() {
		roots = append(roots, head)
	}
	card, err := p.cardRow()
	if err != nil {
		return nil, err
	}
	for _, excerpt := range card.Open {
		roots = append(roots, excerpt)
	}
	err = p.cfg.Store.Each(rowTrack, func(_ string, value []byte) error {
		var t trackRow
		if err := json.Unmarshal(value, &t); err != nil {
			return err
		}
		for _, c := range []cid.Cid{t.CID, t.Info} {
			if c.Defined() {
				roots = append(roots, c)
			}
		}
		return nil
	})
	if err == nil {
		err = p.cfg.Store.Each(rowList, func(_ string, value []byte) error {
			var l listRow
			if err := json.Unmarshal(value, &l); err != nil {
				return err
			}
			for _, c := range []*cid.Cid{l.Env, l.Offer} {
				if c != nil && c.Defined() {
					roots = append(roots, *c)
				}
			}
			return nil
		})
	}
	if err == nil {
		err = p.cfg.Store.Each(rowClip, func(_ string, value []byte) error {
			var k clipRow
			err := json.Unmarshal(value, &k)
			if err == nil && k.File.Defined() {
				roots = append(roots, k.File)
			}
			return err
		})
	}
	if err == nil {
		err = p.cfg.Store.Each(rowSegment, func(_ string, value []byte) error {
			var s segmentRow
			err := json.Unmarshal(value, &s)
			if err == nil && s.CID.Defined() {
				roots = append(roots, s.CID)
			}
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("list roots: %w", err)
	}
	return roots, nil
}
