package publisher

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"testing"

	"github.com/ipfs/boxo/ipld/merkledag"
	unixfs "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"playnode/node"
)

// blocks is a node.Putter in memory that knows how much it was given at once.
type blocks struct {
	held map[cid.Cid][]byte
	most int
	fail error
}

func (b *blocks) Put(_ context.Context, bs ...node.Block) error {
	n := 0
	for _, x := range bs {
		b.held[x.CID] = x.Data
		n += len(x.Data)
	}
	b.most = max(b.most, n)
	return b.fail
}

// read walks the DAG as any UnixFS reader would.
func (b *blocks) read(t *testing.T, c cid.Cid, w io.Writer) {
	t.Helper()
	data, ok := b.held[c]
	if !ok {
		t.Fatalf("block %s was not put", c)
	}
	if c.Type() == cid.Raw {
		w.Write(data)
		return
	}
	n, err := merkledag.DecodeProtobuf(data)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := unixfs.FSNodeFromBytes(n.Data()); err != nil {
		t.Fatal(err)
	}
	for _, l := range n.Links() {
		b.read(t, l.Cid, w)
	}
}

func TestBuildDAG(t *testing.T) {
	for _, size := range []int{0, 1, leafSize - 1, leafSize, leafSize + 1, 3*leafSize + 7, 175 * leafSize} {
		src := make([]byte, size)
		rand.NewChaCha8([32]byte{byte(size)}).Read(src)
		b := &blocks{held: map[cid.Cid][]byte{}}
		root, err := buildDAG(t.Context(), bytes.NewReader(src), b)
		if err != nil {
			t.Fatal(err)
		}
		if size <= leafSize {
			sum := sha256.Sum256(src)
			mh, _ := multihash.Encode(sum[:], multihash.SHA2_256)
			if want := cid.NewCidV1(cid.Raw, mh); root != want {
				t.Errorf("%d bytes: root %s, want the raw leaf %s", size, root, want)
			}
		}
		var got bytes.Buffer
		b.read(t, root, &got)
		if !bytes.Equal(got.Bytes(), src) {
			t.Errorf("%d bytes came back as %d others", size, got.Len())
		}
		if b.most > batchSize+leafSize {
			t.Errorf("%d bytes: %d put at once", size, b.most)
		}
	}
}

func TestBuildDAGStops(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b := &blocks{held: map[cid.Cid][]byte{}}
	if _, err := buildDAG(ctx, bytes.NewReader(make([]byte, 1<<20)), b); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	b.fail = node.ErrNoSpace
	if _, err := buildDAG(t.Context(), bytes.NewReader(make([]byte, 1<<20)), b); !errors.Is(err, node.ErrNoSpace) {
		t.Errorf("full disk: %v", err)
	}
	broken := errors.New("broken")
	if _, err := buildDAG(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, 1<<20)), errReader{broken}), b); !errors.Is(err, broken) {
		t.Errorf("broken source: %v", err)
	}
}

type errReader struct{ err error }

func (e errReader) Read([]byte) (int, error) { return 0, e.err }
