package kubo

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

const (
	// ours begins the names of our pins in Kubo, so that nobody else's are
	// counted, renamed away or removed.
	ours = "playnode/"
	// and stands between names: Kubo has one name for a root, and we any
	// number. What somebody else called it stays the first, empty or not.
	and = " + "
	// maxPinName is the longest name that Kubo takes, in bytes.
	maxPinName = 255
	// maxRoots bounds the roots that are let go for one damaged block below
	// them.
	maxRoots = 256
	// maxDeep is how far down two versions are compared.
	maxDeep = 32
)

// pinned is a root that Kubo pins, by all its names; of one without a name,
// one that is empty.
type pinned struct {
	root  cid.Cid
	names []string
}

// Pin has Kubo pin the graph below p.Root, of what is on its disk; see
// node.Pinner. It is as durable as Kubo makes it.
func (n *Node) Pin(ctx context.Context, p node.Pin) error {
	if strings.Contains(p.Name, and) {
		return fmt.Errorf("pin %s: %q stands in the name %q", p.Root, and, p.Name)
	}
	n.pinning.Lock()
	defer n.pinning.Unlock()
	old, err := n.pinnedAs(ctx, "recursive", p.Root)
	if err == nil && len(old) == 0 && n.grow(ctx, p) {
		old, err = n.pinnedAs(ctx, "recursive", p.Root)
	}
	if err == nil && !slices.Contains(old, ours+p.Name) {
		err = n.pin(ctx, pinned{p.Root, append(old, ours+p.Name)}, true)
	}
	if err != nil {
		return fmt.Errorf("pin %s: %w", p.Root, err)
	}
	return nil
}

// grow has Kubo pin what has grown out of a root that it pins under the same name
// and no other: of the new graph only what is new is walked, where a pin walks
// all. false says that this cannot be; n.pinning is held.
func (n *Node) grow(ctx context.Context, p node.Pin) bool {
	name := ours + p.Name
	like, err := n.list(ctx, "recursive", "name", name)
	i := slices.IndexFunc(like, func(q pinned) bool { return len(q.names) == 1 && q.names[0] == name })
	if err != nil || i < 0 {
		return false
	}
	// Kubo would wait for what is missing as for a pin.
	if err = n.beyond(ctx, like[i].root, p.Root, 0); err == nil {
		err = n.rpc.ask(ctx, "pin/update", args("arg", like[i].root.String(), "arg", p.Root.String(), "unpin", "false"), nil)
	}
	if err != nil {
		n.log.Debug("pin what has grown", "root", p.Root, "from", like[i].root, "err", err)
	}
	return err == nil
}

// beyond looks whether all is here that to reaches and from, which is whole, does
// not. Where they link to others, those are compared in their order.
func (n *Node) beyond(ctx context.Context, from, to cid.Cid, deep int) error {
	if deep == maxDeep {
		return n.whole(ctx, to)
	}
	var links [2][]cid.Cid
	var has [2]map[cid.Cid]bool
	for i, c := range []cid.Cid{from, to} {
		data, err := n.look(ctx, c)
		if err == nil {
			links[i], err = node.Links(c, data)
		}
		if err != nil {
			return err
		}
		has[i] = map[cid.Cid]bool{}
		for _, l := range links[i] {
			has[i][l] = true
		}
	}
	before := slices.DeleteFunc(links[0], func(c cid.Cid) bool { return has[1][c] })
	for _, c := range links[1] {
		if has[0][c] {
			continue
		}
		has[0][c] = true // it may be linked twice
		var err error
		if len(before) > 0 && c.Type() != cid.Raw && before[0].Type() != cid.Raw {
			err = n.beyond(ctx, before[0], c, deep+1)
		} else {
			err = n.whole(ctx, c)
		}
		if err != nil {
			return err
		}
		before = before[min(1, len(before)):]
	}
	return nil
}

// whole looks whether all is here that root reaches, and root.
func (n *Node) whole(ctx context.Context, root cid.Cid) error {
	if has, err := n.Has(ctx, root); err != nil || !has {
		return errors.Join(err, node.ErrNotFound)
	}
	if root.Type() == cid.Raw {
		return nil
	}
	return n.below(ctx, root, func(cid.Cid) error { return nil })
}

// Unpin takes one name off a root, and its pin with the last.
func (n *Node) Unpin(ctx context.Context, p node.Pin) error {
	n.pinning.Lock()
	defer n.pinning.Unlock()
	for _, mode := range []string{"recursive", "direct"} {
		names, err := n.pinnedAs(ctx, mode, p.Root)
		i := slices.Index(names, ours+p.Name)
		if err == nil && i >= 0 {
			if names = slices.Delete(names, i, i+1); len(names) == 0 {
				err = n.unpin(ctx, p.Root, mode)
			} else {
				err = n.pin(ctx, pinned{p.Root, names}, mode == "recursive")
			}
		}
		if err != nil {
			return fmt.Errorf("unpin %s: %w", p.Root, err)
		}
	}
	return nil
}

// Pins lists our pins.
func (n *Node) Pins(ctx context.Context) (all []node.Pin, err error) {
	roots, err := n.list(ctx, "recursive")
	if err != nil {
		return nil, fmt.Errorf("list pins: %w", err)
	}
	for _, p := range roots {
		for _, name := range p.names {
			if name, ok := strings.CutPrefix(name, ours); ok {
				all = append(all, node.Pin{Name: name, Root: p.root})
			}
		}
	}
	return all, nil
}

// list is all that Kubo pins, so or so, of which more pairs of arguments may ask
// for some.
func (n *Node) list(ctx context.Context, mode string, more ...string) (all []pinned, err error) {
	err = lines(ctx, n.rpc, "pin/ls", args(append([]string{"type", mode, "names", "true", "stream", "true"}, more...)...), func(l struct{ Cid, Name string }) error {
		c, err := cid.Decode(l.Cid)
		if err != nil {
			return fmt.Errorf("a pin of %.100q: %w", l.Cid, err)
		}
		all = append(all, pinned{c, strings.Split(l.Name, and)})
		return nil
	})
	return all, err
}

// how tells what Kubo pins c by, in one of the modes or "all" of them; an
// empty kind says that nothing does.
func (n *Node) how(ctx context.Context, mode string, c cid.Cid) (kind, name string, err error) {
	var got struct {
		Keys map[string]struct{ Type, Name string }
	}
	err = n.rpc.ask(ctx, "pin/ls", args("arg", c.String(), "type", mode, "names", "true"), &got)
	if f := (*failure)(nil); errors.As(err, &f) && strings.Contains(f.Message, "is not pinned") {
		return "", "", nil
	}
	if err != nil {
		return "", "", err
	}
	for _, k := range got.Keys {
		return k.Type, k.Name, nil
	}
	return "", "", errors.New("list pins: Kubo's answer is empty")
}

// pinnedAs are the names that Kubo has a root pinned by; none: it has not.
func (n *Node) pinnedAs(ctx context.Context, mode string, root cid.Cid) ([]string, error) {
	kind, name, err := n.how(ctx, mode, root)
	if err != nil || kind == "" {
		return nil, err
	}
	return strings.Split(name, and), nil
}

// pin has a root pinned by these names and no others.
func (n *Node) pin(ctx context.Context, p pinned, whole bool) error {
	name := strings.Join(p.names, and)
	if len(name) > maxPinName {
		return fmt.Errorf("its names are more than the %d bytes that Kubo takes: %q", maxPinName, name)
	}
	// Kubo would fetch what is missing, however long that takes, and forget the
	// pin that it has first.
	if !whole {
		if has, err := n.Has(ctx, p.root); err != nil || !has {
			return errors.Join(err, node.ErrNotFound)
		}
	} else if err := n.whole(ctx, p.root); err != nil {
		return err
	}
	return n.rpc.ask(ctx, "pin/add", args("arg", p.root.String(), "name", name, "recursive", fmt.Sprint(whole)), nil)
}

// below calls f for each block that root reaches, all of which must be here:
// node.ErrNotFound when one is not.
func (n *Node) below(ctx context.Context, root cid.Cid, f func(cid.Cid) error) error {
	err := lines(ctx, n.rpc, "refs", args("arg", root.String(), "recursive", "true", "unique", "true", "offline", "true"), func(l struct{ Ref, Err string }) error {
		if l.Err != "" {
			return &failure{l.Err}
		}
		c, err := cid.Decode(l.Ref)
		if err != nil {
			return fmt.Errorf("a link to %.100q: %w", l.Ref, err)
		}
		return f(c)
	})
	if lacks(err) {
		err = fmt.Errorf("%w: %w", node.ErrNotFound, err)
	}
	return err
}

func (n *Node) unpin(ctx context.Context, root cid.Cid, mode string) error {
	err := n.rpc.ask(ctx, "pin/rm", args("arg", root.String(), "recursive", fmt.Sprint(mode == "recursive")), nil)
	if f := (*failure)(nil); errors.As(err, &f) && strings.Contains(f.Message, "not pinned") {
		err = nil // somebody else was quicker
	}
	return err
}

// remove deletes a block, absent or not, or tells that a pin keeps it.
func (n *Node) remove(ctx context.Context, c cid.Cid) (isPinned bool, err error) {
	err = lines(ctx, n.rpc, "block/rm", args("arg", c.String(), "force", "true", "offline", "true"), func(l struct{ Error string }) error {
		if l.Error == "" {
			return nil
		}
		isPinned = strings.HasPrefix(l.Error, "pinned")
		return &failure{l.Error}
	})
	return isPinned, err
}

// drop deletes a block whose bytes have rotted, so that it can be had anew.
// Kubo deletes nothing below a pin: those roots are pinned alone meanwhile,
// without what is below them, which keeps their names in Kubo; mended makes
// them whole again.
func (n *Node) drop(ctx context.Context, c cid.Cid) error {
	n.pinning.Lock()
	defer n.pinning.Unlock()
	for range maxRoots {
		isPinned, err := n.remove(ctx, c)
		if !isPinned {
			return err
		}
		kind, name, err := n.how(ctx, "all", c)
		if err != nil {
			return fmt.Errorf("let go of damaged %s: %w", c, err)
		}
		root := c
		if through, ok := strings.CutPrefix(kind, "indirect through "); ok {
			if root, err = cid.Decode(through); err == nil {
				_, name, err = n.how(ctx, "recursive", root)
			}
			kind = "recursive"
		}
		if err == nil && kind != "" {
			err = n.loosen(ctx, pinned{root, strings.Split(name, and)}, c, kind)
		}
		if err != nil {
			return fmt.Errorf("let go of damaged %s: %w", c, err)
		}
	}
	return fmt.Errorf("let go of damaged %s: over %d pins keep it; ipfs repo verify --heal mends it", c, maxRoots)
}

// loosen has p pinned alone, or where it is itself the block that goes, not at
// all. n.pinning is held.
func (n *Node) loosen(ctx context.Context, p pinned, damaged cid.Cid, kind string) error {
	if err := n.unpin(ctx, p.root, kind); err != nil {
		return err
	}
	if !p.root.Equals(damaged) {
		if err := n.pin(ctx, p, false); err != nil {
			return err
		}
	}
	n.loose[p.root] = p
	return nil
}

// mended tries, now that blocks are here, to pin wholly what was loosened.
func (n *Node) mended(ctx context.Context) {
	n.pinning.Lock()
	defer n.pinning.Unlock()
	for root, p := range n.loose {
		switch err := n.pin(ctx, p, true); {
		case err == nil:
			delete(n.loose, root)
		case !errors.Is(err, node.ErrNotFound): // else more of it is missing
			n.log.Warn("pin again what was damaged", "root", root, "err", err)
		}
	}
}

// remember finds what an earlier process has loosened.
func (n *Node) remember(ctx context.Context) error {
	alone, err := n.list(ctx, "direct")
	if err != nil {
		return err
	}
	for _, p := range alone {
		if slices.ContainsFunc(p.names, func(s string) bool { return strings.HasPrefix(s, ours) }) {
			n.loose[p.root] = p
		}
	}
	return nil
}
