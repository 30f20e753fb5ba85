package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ipfs/go-cid"

	"playnode/fetch"
	"playnode/lease"
	"playnode/manifests"
	"playnode/node"
	"playnode/node/memory"
)

// An excerpt of which nobody has a segment does not begin, and is waited for as
// long as its listener waits; one of which some segment comes does.
func TestAnExcerptBegins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memory.NewWorld().Node("disk")
		defer disk.Close()
		n := &network{fetch: fetch.New(fetch.Config{Local: disk, Now: time.Now})}
		segments := []node.Block{node.NewBlock(cid.Raw, []byte("one")), node.NewBlock(cid.Raw, []byte("two"))}
		e := &manifests.Excerpt{Init: manifests.MediaInit{Codec: "mp3", Rate: 44100}}
		for _, s := range segments {
			e.Parts = append(e.Parts, manifests.Part{Digest: manifests.Digest(s.CID), Len: 44100})
		}
		key := lease.NewExcerptKey(manifests.DJ{1})
		block, err := key.Seal(e)
		if err != nil {
			t.Fatal(err)
		}
		s, err := key.Stretch(block.Data)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		begun := time.Now()
		if err := n.begins(ctx, s); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Minute {
			t.Errorf("after %v: %v", time.Since(begun), err)
		}
		time.AfterFunc(5*time.Second, func() { disk.Put(t.Context(), segments[1]) })
		if err := n.begins(t.Context(), s); err != nil {
			t.Error(err)
		}
		synctest.Wait()
	})
}
