package embedded

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	pin "github.com/ipfs/boxo/pinning/pinner"
	"github.com/ipfs/go-cid"
	"github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"

	"playnode/node"
)

// pinsPrefix is where every pin has a row, its root and then its name in hex:
// a root may be pinned under several names, which the IPFS pinner knows not.
// The pinner holds each root once, for whatever collects garbage.
const pinsPrefix = "/playnode/pins"

func pinKey(p node.Pin) datastore.Key {
	return datastore.NewKey(pinsPrefix).ChildString(p.Root.String()).ChildString(hex.EncodeToString([]byte(p.Name)))
}

// Pin keeps the graph below p.Root, all of which is read and verified first,
// unless another name keeps it already; see node.Pinner. A leaf that this
// process has written since the last pin was verified then, and need only be
// there. In the public network the root is announced.
func (n *Node) Pin(ctx context.Context, p node.Pin) error {
	others, err := n.rows(ctx, pinsPrefix+"/"+p.Root.String())
	if err != nil {
		return fmt.Errorf("pin %s: %w", p.Root, err)
	}
	if !slices.ContainsFunc(others, func(o node.Pin) bool { return o.Name != p.Name }) {
		if err := n.whole(ctx, p.Root); err != nil {
			return fmt.Errorf("pin %s: %w", p.Root, err)
		}
	}
	n.pinning <- struct{}{}
	defer func() { <-n.pinning }()
	// The pinner first: a cut between the two leaves more pinned, not less.
	if err := n.pinner.PinWithMode(ctx, p.Root, pin.Recursive, p.Name); err != nil {
		return fmt.Errorf("pin %s: %w", p.Root, err)
	}
	if err := n.meta.Put(ctx, pinKey(p), nil); err != nil {
		return fmt.Errorf("pin %s: %w", p.Root, err)
	}
	select {
	case n.provides <- announcement{root: p.Root}:
	default: // the next cycle announces it
	}
	return nil
}

// whole reads everything below root that was not just written.
func (n *Node) whole(ctx context.Context, root cid.Cid) error {
	seen := map[cid.Cid]bool{root: true}
	for todo := []cid.Cid{root}; len(todo) > 0; {
		c := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if c.Prefix().Codec == cid.Raw && n.store.fresh.has(c) {
			has, err := n.Has(ctx, c)
			if err != nil {
				return err
			}
			if has {
				continue
			}
		}
		data, err := n.Read(ctx, c)
		if err != nil {
			return err
		}
		links, err := node.Links(c, data)
		if err != nil {
			return err
		}
		for _, l := range links {
			if !seen[l] {
				seen[l] = true
				todo = append(todo, l)
			}
		}
	}
	n.store.fresh.forget()
	return nil
}

// Unpin removes one pin.
func (n *Node) Unpin(ctx context.Context, p node.Pin) error {
	n.pinning <- struct{}{}
	defer func() { <-n.pinning }()
	if err := n.meta.Delete(ctx, pinKey(p)); err != nil {
		return fmt.Errorf("unpin %s: %w", p.Root, err)
	}
	left, err := n.rows(ctx, pinsPrefix+"/"+p.Root.String())
	if err != nil {
		return fmt.Errorf("unpin %s: %w", p.Root, err)
	}
	if len(left) > 0 {
		return nil
	}
	if err := n.pinner.Unpin(ctx, p.Root, true); err != nil && !errors.Is(err, pin.ErrNotPinned) {
		return fmt.Errorf("unpin %s: %w", p.Root, err)
	}
	return nil
}

// Pins lists all pins.
func (n *Node) Pins(ctx context.Context) ([]node.Pin, error) {
	pins, err := n.rows(ctx, pinsPrefix)
	if err != nil {
		return nil, fmt.Errorf("list pins: %w", err)
	}
	return pins, nil
}

func (n *Node) rows(ctx context.Context, prefix string) ([]node.Pin, error) {
	res, err := n.meta.Query(ctx, query.Query{Prefix: prefix, KeysOnly: true, Orders: []query.Order{query.OrderByKey{}}})
	if err != nil {
		return nil, err
	}
	entries, err := res.Rest()
	if err != nil {
		return nil, err
	}
	var pins []node.Pin
	for _, e := range entries {
		root, name, _ := strings.Cut(strings.TrimPrefix(e.Key, pinsPrefix+"/"), "/")
		c, err := cid.Decode(root)
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", e.Key, err)
		}
		text, err := hex.DecodeString(name)
		if err != nil {
			return nil, fmt.Errorf("row %s: %w", e.Key, err)
		}
		pins = append(pins, node.Pin{Name: string(text), Root: c})
	}
	return pins, nil
}
