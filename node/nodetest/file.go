package nodetest

import (
	"github.com/ipfs/boxo/ipld/merkledag"
	boxo "github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"

	"playnode/node"
)

// Branch is a node of UnixFS above links that claim the given sizes, true or not.
func Branch(kind *boxo.FSNode, links []cid.Cid, sizes []uint64) node.Block {
	n := merkledag.NodeWithData(nil)
	for i, c := range links {
		kind.AddBlockSize(sizes[i])
		if err := n.AddRawLink("", &ipld.Link{Cid: c, Size: sizes[i]}); err != nil {
			panic(err)
		}
	}
	b, err := kind.GetBytes()
	if err != nil {
		panic(err)
	}
	n.SetData(b)
	return node.NewBlock(cid.DagProtobuf, n.RawData())
}
