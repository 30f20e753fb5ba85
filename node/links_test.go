package node_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/ipfs/go-cid"
	dagpb "github.com/ipld/go-codec-dagpb"
	"github.com/ipld/go-ipld-prime"
	"github.com/ipld/go-ipld-prime/codec/dagcbor"
	"github.com/ipld/go-ipld-prime/datamodel"
	"github.com/ipld/go-ipld-prime/fluent/qp"
	cidlink "github.com/ipld/go-ipld-prime/linking/cid"
	basicnode "github.com/ipld/go-ipld-prime/node/basic"
	"github.com/ipld/go-ipld-prime/traversal"

	"playnode/node"
)

var leaf = node.NewBlock(cid.Raw, []byte("leaf")).CID

// theirs is go-ipld-prime's idea of a block's links.
func theirs(codec uint64, data []byte) ([]cid.Cid, error) {
	var n datamodel.Node
	var err error
	if codec == cid.DagProtobuf {
		b := dagpb.Type.PBNode.NewBuilder()
		if err = dagpb.DecodeBytes(b, data); err == nil {
			n = b.Build()
		}
	} else {
		n, err = ipld.Decode(data, dagcbor.Decode)
	}
	if err != nil {
		return nil, err
	}
	links, err := traversal.SelectLinks(n)
	var out []cid.Cid
	for _, l := range links {
		out = append(out, l.(cidlink.Link).Cid)
	}
	return out, err
}

func seeds(t testing.TB) map[uint64][]byte {
	link := func(l cid.Cid) qp.Assemble { return qp.Link(cidlink.Link{Cid: l}) }
	n, err := qp.BuildMap(basicnode.Prototype.Any, -1, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "a", qp.List(-1, func(l datamodel.ListAssembler) {
			qp.ListEntry(l, link(leaf))
			qp.ListEntry(l, qp.Bytes(leaf.Bytes()))
			qp.ListEntry(l, qp.String(leaf.String()))
			qp.ListEntry(l, qp.Int(-1<<40))
			qp.ListEntry(l, qp.Float(1.5))
			qp.ListEntry(l, qp.Null())
		}))
		qp.MapEntry(m, "b", link(leaf))
	})
	if err != nil {
		t.Fatal(err)
	}
	c, err := ipld.Encode(n, dagcbor.Encode)
	if err != nil {
		t.Fatal(err)
	}
	p, err := qp.BuildMap(dagpb.Type.PBNode, -1, func(m datamodel.MapAssembler) {
		qp.MapEntry(m, "Links", qp.List(-1, func(l datamodel.ListAssembler) {
			for range 3 {
				qp.ListEntry(l, qp.Map(-1, func(m datamodel.MapAssembler) {
					qp.MapEntry(m, "Hash", link(leaf))
					qp.MapEntry(m, "Name", qp.String("x"))
					qp.MapEntry(m, "Tsize", qp.Int(4))
				}))
			}
		}))
		qp.MapEntry(m, "Data", qp.Bytes([]byte("data")))
	})
	if err != nil {
		t.Fatal(err)
	}
	var pb bytes.Buffer
	if err := dagpb.Encode(p, &pb); err != nil {
		t.Fatal(err)
	}
	return map[uint64][]byte{cid.DagCBOR: c, cid.DagProtobuf: pb.Bytes()}
}

func TestLinksAgreeWithIPLD(t *testing.T) {
	for codec, data := range seeds(t) {
		want, err := theirs(codec, data)
		if err != nil || len(want) < 2 {
			t.Fatal(want, err)
		}
		got, err := node.Links(node.NewBlock(codec, data).CID, data)
		if err != nil || !slices.Equal(got, want) {
			t.Errorf("codec %#x: %v, %v; want %v", codec, got, err, want)
		}
	}
	if _, err := node.Links(cid.NewCidV1(cid.GitRaw, leaf.Hash()), nil); err == nil {
		t.Error("an unknown codec has links")
	}
}

// FuzzLinks: of whatever IPLD reads, no link is overlooked; a pin that
// overlooks one would keep a graph with a hole.
func FuzzLinks(f *testing.F) {
	for codec, data := range seeds(f) {
		f.Add(codec == cid.DagCBOR, data)
	}
	f.Fuzz(func(t *testing.T, isCBOR bool, data []byte) {
		codec := uint64(cid.DagProtobuf)
		if isCBOR {
			codec = cid.DagCBOR
		}
		got, err := node.Links(node.NewBlock(codec, data).CID, data)
		want, theirErr := theirs(codec, data)
		if theirErr != nil {
			return
		}
		if err == nil && !slices.Equal(got, want) {
			t.Fatalf("%x: %v, IPLD has %v", data, got, want)
		}
	})
}

func TestVerify(t *testing.T) {
	b := node.NewBlock(cid.Raw, []byte("x"))
	big := node.NewBlock(cid.Raw, make([]byte, node.MaxBlock+1))
	if err := node.Verify(b.CID, b.Data); err != nil {
		t.Fatal(err)
	}
	identity := cid.MustParse("bafkqaaa")
	for name, err := range map[string]error{
		"other bytes": node.Verify(b.CID, []byte("y")), "no CID": node.Verify(cid.Undef, nil),
		"too large": node.Verify(big.CID, big.Data), "identity": node.Verify(identity, nil),
	} {
		if !errors.Is(err, node.ErrVerify) {
			t.Errorf("%s: %v, want ErrVerify", name, err)
		}
	}
}
