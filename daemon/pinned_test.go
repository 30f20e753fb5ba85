package daemon

import (
	"context"
	"crypto/ed25519"
	"slices"
	"testing"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/node"
)

// pins are a Kubo's, which may fail to pin.
type pins struct {
	all  []node.Pin
	fail error
}

func (p *pins) Pin(_ context.Context, x node.Pin) error {
	if p.fail == nil && !slices.Contains(p.all, x) {
		p.all = append(p.all, x)
	}
	return p.fail
}

func (p *pins) Unpin(_ context.Context, x node.Pin) error {
	p.all = slices.DeleteFunc(p.all, func(o node.Pin) bool { return o == x })
	return nil
}

func (p *pins) Pins(context.Context) ([]node.Pin, error) { return slices.Clone(p.all), nil }

// TestWhatCannotBePinnedLetsGoOfNothing: what was published before stays pinned
// until what follows it is.
func TestWhatCannotBePinnedLetsGoOfNothing(t *testing.T) {
	c := &clock{}
	c.unix.Store(1_800_000_000)
	b := newBox(t, c)
	n, err := b.net()
	if err != nil {
		t.Fatal(err)
	}
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	kubo := &pins{}
	names := pinned{n.names, b.Daemon, kubo}
	version := func(i byte) cid.Cid { return node.NewBlock(cid.Raw, []byte{i}).CID }
	for i, step := range []struct {
		fail error
		want byte
	}{{nil, 0}, {node.ErrNotFound, 0}, {nil, 2}, {nil, 3}} {
		kubo.fail = step.fail
		if _, _, err := names.Publish(t.Context(), key, version(byte(i)), uint64(i+1), c.now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if len(kubo.all) != 1 || kubo.all[0].Root != version(step.want) {
			t.Errorf("after version %d: %v", i, kubo.all)
		}
	}
}
