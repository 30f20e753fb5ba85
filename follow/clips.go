package follow

import (
	"context"
	"fmt"

	"github.com/ipfs/go-cid"
	"golang.org/x/sync/errgroup"

	"playnode/manifests"
	"playnode/node"
)

// clips has a card's previews and excerpts here. The card bounds the sizes of the
// ones, with a small node each, and the number of the others, a small block each:
// that is all that is fetched.
func (w *walk) clips(ctx context.Context, card *manifests.Card) error {
	if card == nil {
		return nil
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(w.f.cfg.Parallel)
	for _, o := range card.Open {
		g.Go(func() error {
			if _, err := w.record(ctx, o.Block); err != nil {
				return fmt.Errorf("excerpt %s: %w", o.Block, err)
			}
			return nil
		})
	}
	for _, k := range card.Clips() {
		g.Go(func() error {
			if err := w.clip(ctx, k); err != nil {
				return fmt.Errorf("preview %s: %w", k.File, err)
			}
			return nil
		})
	}
	return g.Wait()
}

// clip has one preview here: a leaf, or a node over leaves.
func (w *walk) clip(ctx context.Context, k manifests.Clip) error {
	w.meet(k.File)
	if k.File.Prefix().Codec == cid.Raw {
		_, err := w.leaf(ctx, k.File, k.Size, Unleased, node.Later, false)
		return err
	}
	data, err := w.get(ctx, k.File, node.Want{Class: node.Later})
	if err != nil {
		return err
	}
	leaves, err := ReadClip(k, data)
	if err != nil {
		return err
	}
	w.hold(k.File, len(data), false)
	for _, l := range leaves {
		w.meet(l.File)
		if _, err := w.leaf(ctx, l.File, l.Size, Unleased, node.Later, false); err != nil {
			return err
		}
	}
	return nil
}

// ReadClip reads the node of a clip that has one, and gives its leaves in
// order. Anything but leaves that add up to the clip's size, and so anything
// that would have more fetched than the card says, is ErrVerify.
func ReadClip(k manifests.Clip, data []byte) ([]manifests.Clip, error) {
	if len(data) > manifests.MaxClipNode {
		return nil, refuse("node of %d bytes", len(data))
	}
	b, err := readBranch(k.File, data, k.Size)
	if err != nil {
		return nil, err
	}
	if len(b.links) > manifests.MaxClipLeaves {
		return nil, refuse("node with %d leaves", len(b.links))
	}
	var out []manifests.Clip
	for i, l := range b.links {
		if l.Prefix().Codec != cid.Raw {
			return nil, refuse("node over another node")
		}
		out = append(out, manifests.Clip{File: l, Size: b.sizes[i], Codec: k.Codec})
	}
	return out, nil
}
