package embedded_test

import (
	"crypto/ed25519"
	"crypto/rand"
	"sync"
	"testing"

	"github.com/ipfs/go-cid"

	"playnode/node"
	"playnode/node/embedded"
)

// BenchmarkTransfer moves 100 MiB of 256 KiB blocks from one peer's disk to
// another's by bitswap over loopback, 24 blocks at once, in durable batches.
func BenchmarkTransfer(b *testing.B) {
	const leaf, count, abreast = 256 << 10, 400, 24
	b.SetBytes(leaf * count)
	for b.Loop() {
		b.StopTimer()
		from, to := benchNode(b), benchNode(b)
		var ids []cid.Cid
		for i := 0; i < count; i += abreast {
			var batch []node.Block
			for range min(abreast, count-i) {
				data := make([]byte, leaf)
				rand.Read(data)
				batch = append(batch, node.NewBlock(cid.Raw, data))
				ids = append(ids, batch[len(batch)-1].CID)
			}
			if err := from.Put(b.Context(), batch...); err != nil {
				b.Fatal(err)
			}
		}
		if err := to.Connect(b.Context(), from.Addrs()[0]); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		next := make(chan cid.Cid)
		got := make(chan node.Block, abreast)
		var readers sync.WaitGroup
		for range abreast {
			readers.Go(func() {
				for c := range next {
					data, err := to.Get(b.Context(), c, node.Want{})
					if err != nil {
						b.Error(err)
						return
					}
					got <- node.Block{CID: c, Data: data}
				}
			})
		}
		go func() {
			for _, c := range ids {
				next <- c
			}
			close(next)
			readers.Wait()
			close(got)
		}()
		for blk := range got {
			batch := []node.Block{blk}
			for more := true; more && len(batch) < abreast; {
				select {
				case blk, ok := <-got:
					if more = ok; ok {
						batch = append(batch, blk)
					}
				default:
					more = false
				}
			}
			if err := to.Put(b.Context(), batch...); err != nil {
				b.Fatal(err)
			}
		}
		b.StopTimer()
		from.Close()
		to.Close()
		b.StartTimer()
	}
}

// BenchmarkPut stores 100 MiB in batches of 24 blocks of 256 KiB.
func BenchmarkPut(b *testing.B) {
	const leaf, count, batch = 256 << 10, 408, 24
	b.SetBytes(leaf * count)
	n := benchNode(b)
	defer n.Close()
	for b.Loop() {
		for range count / batch {
			var blocks []node.Block
			for range batch {
				data := make([]byte, leaf)
				rand.Read(data)
				blocks = append(blocks, node.NewBlock(cid.Raw, data))
			}
			if err := n.Put(b.Context(), blocks...); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func benchNode(b *testing.B) *embedded.Node {
	_, key, err := ed25519.GenerateKey(nil)
	if err != nil {
		b.Fatal(err)
	}
	n, err := embedded.New(b.Context(), embedded.Config{
		Dir: b.TempDir(), Identity: key, Network: embedded.None,
		Listen: []string{"/ip4/127.0.0.1/tcp/0"},
	})
	if err != nil {
		b.Fatal(err)
	}
	return n
}
